"""Java, and Kafka's jars: fetched through Maven once, then kept in the user's cache folder."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from broker.errors import BrokerError, NotInstalledError

POM: Final = Path(__file__).with_name("pom.xml")
JAVA_VERSION: Final = 17
"""The oldest Java that Kafka 4 brokers run on."""
FETCH_DEADLINE_S: Final = 600.0


def java_launcher() -> str:
    """Find the Java launcher.

    Returns
    -------
    str
        ``$JAVA_HOME/bin/java`` if that variable is set, else ``java`` from the PATH.

    Raises
    ------
    NotInstalledError
        There is none, or it is too old.
    """
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    advice = f"install Java {JAVA_VERSION} or newer (Debian: apt install openjdk-17-jre-headless)"
    if found is None:
        raise NotInstalledError(
            f"Kafka needs Java, and there is none {f'in JAVA_HOME={home}' if home else 'here'}: {advice}"
        )
    printed = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr  # noqa: S603  # the user's own java
    version = re.search(r'version "(\d+)', printed)
    if version is None or int(version[1]) < JAVA_VERSION:
        raise NotInstalledError(f"Kafka cannot run on {found} ({printed.partition(chr(10))[0].strip()}): {advice}")
    return found


def jars_folder(name: str = "kafka", pom: Path = POM) -> Path:
    """Return the folder of a server's jars, filled by Maven at the first call on this machine.

    Safe when several processes call it at once: one fetches, the others wait for it.

    Parameters
    ----------
    name
        The server's, which the folder's name begins with; by default Kafka.
    pom
        Which jars it needs.

    Raises
    ------
    NotInstalledError
        The jars are not there yet, and neither is Maven.
    BrokerError
        Maven cannot fetch them.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "digitstream"
    folder = cache / f"{name}-{hashlib.sha256(pom.read_bytes()).hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _fetch(folder, pom, f"{name.capitalize()}'s jars")
    return folder


def _fetch(folder: Path, pom: Path, what: str) -> None:
    """Fill the folder in one step, so that it is never seen half full. The caller holds the lock."""
    maven = shutil.which("mvn")
    if maven is None:
        raise NotInstalledError(f"Fetching {what} needs Maven once: install it (Debian: apt install maven)")
    unfinished = folder.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    command = [maven, "--batch-mode", "--quiet", "--file", str(pom), "dependency:copy-dependencies"]
    try:
        done = subprocess.run(  # noqa: S603  # the user's own mvn
            [*command, "-DincludeScope=runtime", f"-DoutputDirectory={unfinished}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=FETCH_DEADLINE_S,
        )
    except subprocess.TimeoutExpired as error:
        raise BrokerError(f"Maven did not fetch {what} within {FETCH_DEADLINE_S:.0f} s") from error
    if done.returncode != 0:
        last = "\n".join(done.stdout.strip().splitlines()[-10:])
        raise BrokerError(f"Maven could not fetch {what}:\n{last}")
    unfinished.rename(folder)
