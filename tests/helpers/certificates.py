"""Certificates made on the spot."""

from __future__ import annotations

import datetime as dt
import ssl
import subprocess

import trustme


class Authority:
    """A certificate authority of the tests' own, that nobody trusts unless told to."""

    def __init__(self, folder):
        self._ca = trustme.CA()
        self._folder = folder
        self._made = 0
        self.file = str(folder / "ca.pem")
        self._ca.cert_pem.write_to_path(self.file)

    def hash(self):
        """Return the name that OpenSSL looks the certificate of the authority up by."""
        command = ["openssl", "x509", "-hash", "-noout", "-in", self.file]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def trusting(self):
        """Return a context for clients that trusts this authority."""
        return ssl.create_default_context(cafile=self.file)

    def server(self, *names, expired=False):
        """Make a certificate for these hosts; return its file and that of its key."""
        ago = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
        made = self._ca.issue_cert(*names, **({"not_after": ago} if expired else {}))
        self._made += 1
        files = self._folder / f"{self._made}.pem", self._folder / f"{self._made}.key"
        for blob in made.cert_chain_pems:
            blob.write_to_path(files[0], append=True)
        made.private_key_pem.write_to_path(files[1])
        return files

    def server_context(self, *names, clients=False):
        """Return a context for a server; `clients` says that these need a certificate as well."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.server(*names))
        if clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.file)
        return context
