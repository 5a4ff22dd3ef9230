"""Final answers: found in responses of any form, compared by value, grouped by agreement."""

from __future__ import annotations

from emafusion.answers.compare import cluster_answers, same_answer
from emafusion.answers.extract import extract_answer
from emafusion.answers.final import NO_ANSWER, FinalAnswer

__all__ = ["NO_ANSWER", "FinalAnswer", "cluster_answers", "extract_answer", "same_answer"]
