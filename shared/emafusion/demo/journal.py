"""The journal of a recording: one line a finished call, appended at once: an interruption loses one call."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from emafusion.demo.tasks.prompt import DemoPrompt

Call = dict[str, object]
Key = tuple[str, str, int]
GREEDY = -1


def prompts_digest(prompts: Iterable[DemoPrompt]) -> str:
    """A checksum of the prompts' ids and texts: a journal only goes on with the prompts it began with."""
    text = json.dumps([(prompt.id, prompt.prompt) for prompt in prompts], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Journal:
    """Finished calls, keyed by (candidate, prompt id, sample); sample -1 is the run at temperature 0.

    Parameters
    ----------
    path : Path
        The journal file, made when absent.
    settings : dict
        What must stay the same over the whole recording (prompts, max_tokens, temperature).
    resume : bool
        Whether to go on with a journal that is already there; otherwise its presence is an error.
    """

    def __init__(self, path: Path, settings: dict[str, object], *, resume: bool) -> None:
        self.path = path
        self.settings = settings
        self.calls: dict[Key, Call] = {}
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"settings": settings}) + "\n", encoding="utf-8")
        elif not resume:
            raise FileExistsError(f"{path} holds an earlier recording: pass --resume to go on with it, or delete it")
        else:
            self._read()

    def _read(self) -> None:
        text = self.path.read_text(encoding="utf-8")
        whole, _, torn = text.rpartition("\n")
        if torn:  # the last call was cut off in mid-write: forget it, it is made again
            self.path.write_text(whole + "\n" if whole else "", encoding="utf-8")
        for place, line in enumerate(whole.splitlines(), start=1):
            try:
                entry = json.loads(line)
            except ValueError as error:
                raise ValueError(
                    f"{self.path}, line {place}: not JSON ({error}); delete the line or the file"
                ) from None
            if place == 1:
                self._check(entry.get("settings"))
            else:
                self.calls[entry["candidate"], entry["id"], entry["sample"]] = entry

    def _check(self, earlier: object) -> None:
        if earlier != self.settings:
            raise ValueError(
                f"{self.path} was begun with other settings ({earlier}) than now ({self.settings}): "
                "use the same ones, or start a new recording elsewhere"
            )

    def __contains__(self, key: Key) -> bool:
        return key in self.calls

    def add(self, candidate: str, prompt_id: str, sample: int, call: Call) -> None:
        """Append one finished call and flush it."""
        entry = {"candidate": candidate, "id": prompt_id, "sample": sample, **call}
        with self.path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(entry, ensure_ascii=False) + "\n")
        self.calls[candidate, prompt_id, sample] = entry
