"""What OpenRLHF imports from here."""


class TokensPrompt(dict):
    """A prompt as token ids."""
