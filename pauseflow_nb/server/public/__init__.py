"""Answer the links that need no login: `/pauseflow/resume|cancel|approve/TOKEN`, and the approval page."""
