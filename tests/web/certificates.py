"""An authority for a test, and what it signs."""

from pathlib import Path

import trustme


class Authority:
    """Writes server.pem, server.key and ca.pem into a folder; the server is 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._authority = trustme.CA(organization_name="a test")
        self.ca = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(str(self.ca))
        self.server()

    def server(self) -> None:
        """A new certificate for the server, in the place of the one before."""
        self._write("server", "127.0.0.1")

    def client(self, name: str, san: str) -> tuple[str, str]:
        """A client's certificate and key, as files."""
        self._write(name, san)
        return str(self.folder / f"{name}.pem"), str(self.folder / f"{name}.key")

    def _write(self, name: str, san: str) -> None:
        issued = self._authority.issue_cert(san)
        for suffix, blob in (("key", issued.private_key_pem), ("pem", issued.cert_chain_pems[0])):
            fresh = self.folder / f"{name}.{suffix}.new"
            blob.write_to_path(str(fresh))
            fresh.replace(self.folder / f"{name}.{suffix}")
