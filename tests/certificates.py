"""Certificates of an authority that is made up for a test."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

import trustme


class Pair(NamedTuple):
    """A certificate for 127.0.0.1, and who issued it."""

    cert: Path
    key: Path
    authority: Path

    @property
    def flags(self) -> tuple[str, ...]:
        """Of `lipstream serve`."""
        return ("--tls-cert", str(self.cert), "--tls-key", str(self.key))

    def trusting(self) -> ssl.SSLContext:
        """For a client that trusts the authority."""
        return ssl.create_default_context(cafile=str(self.authority))


def make_pair(folder: Path) -> Pair:
    """Write a new certificate, its key and its authority."""
    made = Pair(folder / "cert.pem", folder / "key.pem", folder / "authority.pem")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(made.authority)
    issued.private_key_pem.write_to_path(made.key)
    for number, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(made.cert, append=number > 0)
    return made
