from pipedream.script_helpers import (steps, export)

export("doubled", steps["trigger"]["event"]["n"] * 2)
