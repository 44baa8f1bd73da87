"""Answer the links that need no login: `/pauseflow/resume|cancel|send_back|approve/TOKEN`, and the approval page."""
