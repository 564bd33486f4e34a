"""The web page in a real browser, against a real server and logs that really grow."""
