"""Changes its variables and saves them without end, and notes every snapshot once it is done."""

import json
import os
import sys
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from pauseflow_nb.kernel import snapshot


def main() -> None:
    shell: Any = InteractiveShell.instance()
    shell.run_cell("import numpy as np\na = np.zeros(400_000); b = []; n = 0")
    descriptor = os.open(sys.argv[2], os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    while True:
        shell.run_cell("a[n] = n; b.append(object()); n += 1; a[n] = n")
        saved = snapshot.save(shell, sys.argv[1])
        line = json.dumps({"ref": vars(saved.ref), "n": shell.user_ns["n"]})
        os.write(descriptor, f"{line}\n".encode())


if __name__ == "__main__":
    main()
