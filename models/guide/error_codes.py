"""Writes corpus/07-error-codes.md from the registry of error codes, so that the two cannot drift apart.

    python error_codes.py          # writes the file
    python error_codes.py --check  # exits 1 when it is out of date
"""

import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent
REGISTRY = HERE / "../../crates/report/src/codes.rs"
OUT = HERE / "corpus/07-error-codes.md"
# As `report::Report::new` decides it; Internal is left open.
NEVER = ("Invalid", "ContextLength", "Unauthenticated", "OverBudget", "Forbidden", "NotFound", "Method", "Conflict", "TooLarge", "MediaType")
AGAIN = ("RateLimited", "BadUpstream", "Unavailable", "Timeout")


def render():
    lines = ["# Error codes: written by error_codes.py from crates/report/src/codes.rs", ""]
    for code, kind, title in re.findall(r'e\("([A-Z]{2}\d{4})",\s*C::(\w+),\s*\w+,\s*"([^"]+)"', REGISTRY.read_text()):
        advice = " A retry will not help." if kind in NEVER else " A retry may help." if kind in AGAIN else ""
        lower = code.lower()
        lines += [
            f"## {lower}", f"A: `{code}` means: {title}.{advice}",
            f"what: {code} | {code} | {lower} | error {code} | the error {code} | error code {code}",
            f"how: fix {code} | fix error {code} | get rid of {code}",
            f"Q: i get {code} | why do i get {code} | the server says {code} | i got error {code} | my request failed with {code} | should i retry {code} | what do i do about {code}",
            "",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    text = render()
    if "--check" in sys.argv:
        sys.exit(0 if OUT.exists() and OUT.read_text() == text else f"{OUT.name} is out of date: run error_codes.py")
    OUT.write_text(text)
