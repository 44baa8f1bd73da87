"""One segment in one kernel; knows neither database nor engine, and never imports `kernel`."""

import pauseflow_nb.light_jsonschema  # noqa: F401 - before nbformat imports jsonschema, which takes longer
