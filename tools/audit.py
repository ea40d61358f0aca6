"""Whether the locked dependencies have known vulnerabilities, as pip-audit finds them in the index's database.

Exit code 1 where one has. Where the database can't be asked, that is said, and is no failure.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).parents[1] / "requirements.lock"


def main() -> int:
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "-r", str(LOCK), "-f", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        dependencies = json.loads(done.stdout)["dependencies"]
    except ValueError:
        # It ends without a report where the network fails.
        print(f"audit: not made: {(done.stderr.strip() or 'no answer').splitlines()[-1]}")
        return 0
    found = 0
    for dependency in dependencies:
        name = f"{dependency['name']} {dependency.get('version', '')}".strip()
        if "skip_reason" in dependency:
            print(f"audit: {name} not looked up: {dependency['skip_reason']}")
        for vulnerability in dependency.get("vulns", ()):
            fixed = ", ".join(vulnerability["fix_versions"]) or "no version"
            print(f"audit: {name}: {vulnerability['id']}, mended in {fixed}", file=sys.stderr)
            found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
