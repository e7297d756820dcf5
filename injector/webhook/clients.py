"""Who may ask for reviews: whoever has a certificate of authorities that the installation names, the API server's.

Without them anybody who reaches the port can ask, which is bounded, and can have Events written.
"""

from __future__ import annotations

import os
import ssl

from mesh.options import OptionError


def require_clients(context: ssl.SSLContext, path: str) -> None:
    """Raises OptionError where the file cannot be used."""
    try:
        context.load_verify_locations(path)
    except ssl.SSLError:
        raise OptionError(f"--client-ca {path} has no certificates; give a PEM file of authorities") from None
    except OSError as error:
        raise OptionError(f"--client-ca {path} cannot be read: {os.strerror(error.errno or 0)}") from None
    context.verify_mode = ssl.CERT_REQUIRED
