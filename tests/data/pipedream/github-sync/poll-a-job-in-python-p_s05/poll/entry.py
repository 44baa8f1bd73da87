import json
from urllib.request import urlopen


def handler(pd: "pipedream"):
    run = pd.context["run"]
    with urlopen(pd.steps["trigger"]["event"]["service"] + "/job/python") as answer:
        job = json.load(answer)
    if job["status"] == "DONE":
        return job["result"]
    pd.flow.rerun(10, None, 5)
