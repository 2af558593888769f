"""Certificates for a TLS server of a test and its clients."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme

__all__ = ["TlsFiles", "tls_files"]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Certificates of an authority of the test's own, for a server and a client."""

    authority: Path
    certificate: Path
    key: Path
    client_certificate: Path
    client_key: Path

    def server_options(self, port: int) -> tuple[str, ...]:
        """Speak TLS only, and ask clients for a certificate."""
        files = (("tls-cert-file", self.certificate), ("tls-key-file", self.key), ("tls-ca-cert-file", self.authority))
        options = [part for name, path in files for part in (f"--{name}", str(path))]
        return ("--port", "0", "--tls-port", str(port), *options)

    def client_options(self) -> dict[str, Any]:
        return {
            "ssl_ca_certs": str(self.authority),
            "ssl_certfile": str(self.client_certificate),
            "ssl_keyfile": str(self.client_key),
        }


def tls_files(folder: Path) -> TlsFiles:
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    files = []
    for name in ("localhost", "client"):
        issued = authority.issue_cert(name, "127.0.0.1")
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        issued.cert_chain_pems[0].write_to_path(str(certificate))
        issued.private_key_pem.write_to_path(str(key))
        files += [certificate, key]
    return TlsFiles(folder / "ca.pem", *files)
