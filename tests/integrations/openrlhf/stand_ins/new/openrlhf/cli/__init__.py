"""A package, as in OpenRLHF."""
