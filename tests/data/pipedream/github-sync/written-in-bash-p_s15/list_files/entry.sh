echo "files=3" >> $PIPEDREAM_EXPORTS
