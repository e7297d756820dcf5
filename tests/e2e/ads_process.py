"""The ADS server of the tests as a process, which can be killed: `-m tests.e2e.ads_process PORT JSON`; prints its port.

The JSON is a mapping from names of services to their addresses.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from tests.e2e.ads import Ads
from tests.e2e.processes import Process


class AdsProcess(Process):
    """It serves these services until it is killed."""

    def __init__(self, services: dict[str, list[str]], port: int = 0) -> None:
        super().__init__([sys.executable, "-m", "tests.e2e.ads_process", str(port), json.dumps(services)])
        line = self.read_line()
        if not line.isdigit():
            self.kill()
            raise AssertionError(f"the ADS server did not start:\n{self.stderr}")
        self.port = int(line)


async def serve(port: int, services: dict[str, list[str]]) -> None:
    ads = Ads()
    # No version of one process is another's.
    ads._versions = os.getpid() << 16
    for name, addresses in services.items():
        split = [address.rsplit(":", 1) for address in addresses]
        ads.put_service(name, *((host, int(number)) for host, number in split))
    await ads.start(port)
    print(ads.port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), json.loads(sys.argv[2])))
