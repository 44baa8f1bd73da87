"""LangGraph: interrupt a graph, and resume it in a new process. Prints JSON.

python langgraph_interrupt.py FOLDER
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LIVE: list[str] = []


def graph_in(folder: Path) -> Any:
    import sqlite3
    from typing import TypedDict

    from langgraph.checkpoint.sqlite import SqliteSaver
    from langgraph.graph import START, StateGraph
    from langgraph.types import interrupt

    def log(line: str) -> None:
        with (folder / "log").open("a") as lines:
            lines.write(f"{line}\n")

    class State(TypedDict):
        number: int

    def before(_state: State) -> State:
        log("before")
        LIVE.append("made before the pause")
        return {"number": 7}

    def ask(state: State) -> State:
        log("ask")
        interrupt("approve?")
        log(f"after {state['number']} {len(LIVE)}")
        return state

    saver = SqliteSaver(sqlite3.connect(folder / "graph.sqlite", check_same_thread=False))
    graph = StateGraph(State).add_node("before", before).add_node("ask", ask)
    return graph.add_edge(START, "before").add_edge("before", "ask").compile(checkpointer=saver)


def main() -> None:
    folder, thread = Path(sys.argv[1]), {"configurable": {"thread_id": "1"}}
    if sys.argv[2:] == ["resume"]:
        from langgraph.types import Command

        graph_in(folder).invoke(Command(resume="yes"), thread)
        return
    if sys.argv[2:] == ["begin"]:
        graph_in(folder).invoke({"number": 0}, thread)
        return
    for part in ("begin", "resume"):
        subprocess.run([sys.executable, __file__, str(folder), part], check=True)
    log = (folder / "log").read_text().splitlines()
    _, number, live = log[-1].split()
    print(
        json.dumps(
            {
                "the process that began has exited, and another one resumed": True,
                "the state is there after the pause": number == "7",
                "an object outside of the state is there after the pause": live != "0",
                "runs of each part": {name: log.count(name) for name in ("before", "ask")},
            }
        )
    )


if __name__ == "__main__":
    main()
