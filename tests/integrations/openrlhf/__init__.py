"""Tests of the OpenRLHF integration that need no OpenRLHF: small stand-ins have the shape of its trainers."""
