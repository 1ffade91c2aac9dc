"""A recording's text as a file: text, subtitles, table, JSON."""

import json

from comsl.recordings.translation import Recording
from comsl.serving import subtitles

FORMATS = ("txt", "srt", "vtt", "tsv", "json")


def render(recording: Recording, form: str, name: str) -> str:
    """The content of a file in one of FORMATS; name: of the recording."""
    if form in ("srt", "vtt"):
        return subtitles.render(recording.segments, form)
    if form == "tsv":  # as openai-whisper has it: milliseconds
        rows = [("start", "end", "text")]
        rows += [(round(1000 * s.start), round(1000 * s.end), s.text) for s in recording.segments]
        return "".join("\t".join(map(str, row)) + "\n" for row in rows)
    if form == "json":
        return json.dumps({"file": name} | as_dict(recording), ensure_ascii=False) + "\n"
    return "".join(f"{segment.text}\n" for segment in recording.segments)


def as_dict(recording: Recording) -> dict:
    """What is known of a recording, as plain values; times in seconds."""
    segments = [
        {"id": number, "start": round(s.start, 3), "end": round(s.end, 3), "text": s.text}
        for number, s in enumerate(recording.segments)
    ]
    return {
        "language": recording.src_lang,
        "detected": recording.detected,
        "text_language": recording.lang,
        "duration": round(recording.seconds, 3),
        "text": recording.text,
        "segments": segments,
    }
