"""One segment in one kernel; knows neither database nor engine, and never imports `kernel`."""
