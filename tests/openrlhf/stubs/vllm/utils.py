"""What OpenRLHF imports from here."""

import uuid


def random_uuid():
    """A name for a request."""
    return uuid.uuid4().hex
