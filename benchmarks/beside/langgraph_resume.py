"""LangGraph: from the start of a new process to the line after `interrupt`, SQLite. Prints a JSON list of seconds.

python langgraph_resume.py COUNT FOLDER
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def graph_in(folder: Path) -> Any:
    import sqlite3
    from typing import TypedDict

    from langgraph.checkpoint.sqlite import SqliteSaver
    from langgraph.graph import START, StateGraph
    from langgraph.types import interrupt

    class State(TypedDict):
        answer: str

    def ask(_state: State) -> State:
        answer = interrupt("approve?")
        print(repr(time.time()), flush=True)
        return {"answer": answer}

    saver = SqliteSaver(sqlite3.connect(folder / "graph.sqlite", check_same_thread=False))
    return StateGraph(State).add_node("ask", ask).add_edge(START, "ask").compile(checkpointer=saver)


def main() -> None:
    folder = Path(sys.argv[2])
    if sys.argv[1] == "resume":
        from langgraph.types import Command

        graph_in(folder).invoke(Command(resume="yes"), {"configurable": {"thread_id": sys.argv[3]}})
        return
    graph, taken = graph_in(folder), []
    for n in range(int(sys.argv[1])):
        graph.invoke({"answer": ""}, {"configurable": {"thread_id": str(n)}})
        posted = time.time()
        words = [sys.executable, __file__, "resume", str(folder), str(n)]
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        taken.append(float(said.split()[0]) - posted)
    print(json.dumps(taken))


if __name__ == "__main__":
    main()
