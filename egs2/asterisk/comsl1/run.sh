#!/usr/bin/env bash
# ComSL on the recorded prompts of the Asterisk telephone exchange, into English; see README.md. Two cores, no GPU.
exec "$(dirname "$0")/../../../run.sh" --config egs2/asterisk/comsl1/settings.conf "$@"
