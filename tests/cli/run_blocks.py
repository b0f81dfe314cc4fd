"""Run the Python blocks of one page, one after the other, in one namespace.

Each line of stdin is one block; each line of stdout says what went wrong, or nothing.
"""

from __future__ import annotations

import json
import sys
import traceback
import types


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr
    sys.path.insert(0, "")  # the page's folder, where its files are
    # As the module that it is for a reader, so that its functions can be pickled.
    page = sys.modules["__main__"] = types.ModuleType("__main__")
    for line in sys.stdin:
        order = json.loads(line)
        # Empty lines before it, so that a traceback names the line of the page.
        source = "\n" * (order["line"] - 1) + order["text"]
        try:
            exec(compile(source, order["file"], "exec"), page.__dict__)
            trouble = ""
        except BaseException:
            trouble = traceback.format_exc()
        print(json.dumps(trouble), file=answers, flush=True)


if __name__ == "__main__":
    main()
