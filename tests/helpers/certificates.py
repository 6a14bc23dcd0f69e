"""Certificates for tests, made when they are needed."""

from __future__ import annotations

import datetime as dt
import ssl
import subprocess

import trustme


class Authority:
    """A certificate authority of the tests, which only `client_context` trusts."""

    def __init__(self, folder):
        self._ca = trustme.CA()
        self._folder = folder
        self._count = 0
        self.file = str(folder / "ca.pem")
        self._ca.cert_pem.write_to_path(self.file)

    def hash(self):
        """Return the name that OpenSSL looks the certificate of the authority up by."""
        command = ["openssl", "x509", "-hash", "-noout", "-in", self.file]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def client_context(self):
        """Return a context for clients that trusts this authority."""
        return ssl.create_default_context(cafile=self.file)

    def server(self, *names, expired=False):
        """Make a certificate for these hosts; return its file and that of its key."""
        yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
        certificate = self._ca.issue_cert(*names, **({"not_after": yesterday} if expired else {}))
        self._count += 1
        files = self._folder / f"{self._count}.pem", self._folder / f"{self._count}.key"
        for pem in certificate.cert_chain_pems:
            pem.write_to_path(files[0], append=True)
        certificate.private_key_pem.write_to_path(files[1])
        return files

    def server_context(self, *names, clients=False):
        """Return a context for a server; with `clients`, clients need a certificate too."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.server(*names))
        if clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.file)
        return context
