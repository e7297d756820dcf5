"""A certificate that the user brings, such as cert-manager's: served from files, and read again when they change."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Final

from injector.api.access import Denied
from injector.certificate.bundle import Bundle
from injector.certificate.keeper import advise, read_clock
from injector.certificate.pair import Unreadable, read_certificate
from injector.certificate.served import Served, UnusablePair
from injector.problem import Problem
from mesh.access import Lost
from mesh.log import log

LOOK_S: Final = 1.0


class FileError(Exception):
    """The files cannot be used at the start. The message is complete: print it and exit with 2."""


class FileKeeper:
    """`bundle` is None where the caBundle is somebody else's business."""

    def __init__(
        self, certificate: str, key: str, served: Served, bundle: Bundle | None = None, authority: str | None = None
    ) -> None:
        self.rotations = 0
        self.not_after: datetime | None = None
        self.problem = Problem("the certificate's files can be used again")
        self._certificate, self._key = Path(certificate), Path(key)
        self._authority = Path(authority) if authority else None
        self._served, self._bundle = served, bundle
        self._loaded = ("", "")
        self._is_trusted = bundle is None

    def open(self) -> None:
        """Serve what is there; raises FileError."""
        try:
            self._load()
        except (OSError, UnusablePair, Unreadable, UnicodeDecodeError) as error:
            raise FileError(explain(error, self._certificate)) from None

    def unready_reason(self) -> str:
        if self.not_after is not None and self.not_after <= read_clock():
            return "the certificate has ended: renew the file of --tls-cert"
        return "" if self._is_trusted else self.problem.text or "the caBundle is not in place yet"

    async def run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        try:
            self._load()
            if self._bundle is not None and self._authority is not None:
                before = await self._bundle.read()
                self._is_trusted = await self._bundle.write(before, [self._authority.read_text()]) or self._is_trusted
        except (OSError, UnusablePair, Unreadable, UnicodeDecodeError) as error:
            self.problem.tell(f"{explain(error, self._certificate)}; the one before is served on")
        except (Denied, Lost) as error:
            advice = advise(error, self._bundle.name if self._bundle else "") if isinstance(error, Denied) else ""
            self.problem.tell(f"cannot write the caBundle: {error}{advice}")
        else:
            self.problem.settle()

    def _load(self) -> None:
        found = self._certificate.read_text(), self._key.read_text()
        if found == self._loaded:
            return
        certificate = read_certificate(found[0])
        self._served.load(*found)
        self.not_after = certificate.not_valid_after_utc
        if self._loaded[0]:
            self.rotations += 1
            log(f"the new certificate of {self._certificate} is served, valid until {self.not_after.isoformat()}")
        self._loaded = found


def explain(error: Exception, path: Path) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or path} cannot be read: {error.strerror}"
    return f"--tls-cert {path}: {error}"
