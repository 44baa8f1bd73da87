import json
from urllib.request import Request, urlopen


def handler(pd: "pipedream"):
    key = pd.inputs["warehouse"]["$auth"]["api_key"]
    request = Request(pd.steps["trigger"]["event"]["service"] + "/echo", headers={"Authorization": key})
    with urlopen(request) as answer:
        return len(json.load(answer)["authorization"])
