"""What OpenRLHF imports from here."""


class PyNcclCommunicator:
    """Sends weights nowhere."""

    def __init__(self, *_, **__):
        """Connect to nobody."""

    def broadcast(self, *_, **__):
        """Send nothing."""
