"""Where the program begins."""

import sys
from pathlib import Path

# `-I` leaves out our own folder. It is there for our imports alone: nothing of Blarify is to be found beside us.
_ROOM = str(Path(__file__).parents[2])
sys.path.insert(0, _ROOM)
from codestory_blarify.worker.hierarchy import main  # noqa: E402

sys.path.remove(_ROOM)

if __name__ == "__main__":
    main(sys.argv[1:])
