#!/bin/sh
# What does a photo show?   sh ask.sh photo.jpg [http://127.0.0.1:8000]
# Where the service is full (429) or not ready (503), curl waits for its Retry-After and asks again.
# The photo comes from standard input: in a name after @, a semicolon or a comma would end it.
# --output takes the last answer alone: without it, refusals would be printed, too.
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT
curl --silent --show-error --fail-with-body --retry 5 --retry-max-time 60 \
  --form file=@- --output "$answer" "${2:-http://127.0.0.1:8000}/predict" < "$1"
code=$?
cat "$answer"
exit $code
