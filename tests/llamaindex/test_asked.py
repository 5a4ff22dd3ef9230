"""The question and the retrieved context are told apart, in the framework's own templates and in other people's."""

from __future__ import annotations

import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.chat_engine.condense_plus_context import DEFAULT_CONDENSE_PROMPT_TEMPLATE
from llama_index.core.chat_engine.condense_plus_context import DEFAULT_CONTEXT_PROMPT_TEMPLATE as FRIENDLY
from llama_index.core.chat_engine.context import DEFAULT_CONTEXT_TEMPLATE
from llama_index.core.prompts import chat_prompts, default_prompts
from llama_index.core.selectors.prompts import DEFAULT_SINGLE_SELECT_PROMPT_TMPL

from emafusion.types import Message
from llamaindex_emafusion.asked import Filled, Split, filled_from, split_prompt, split_turns

QUESTION = "Which river runs through Verona, and where does it rise?"
CONTEXT = "Verona lies on the Adige.\n\nThe Adige rises near the Reschen Pass.\nIt is 410 km long."

ANSWERING = {
    "text_qa": default_prompts.DEFAULT_TEXT_QA_PROMPT_TMPL,
    "tree_summarize": default_prompts.DEFAULT_TREE_SUMMARIZE_TMPL,
    "chat_text_qa": chat_prompts.TEXT_QA_PROMPT_TMPL_MSGS[-1].content or "",
    "chat_tree_summarize": chat_prompts.TREE_SUMMARIZE_PROMPT_TMPL_MSGS[-1].content or "",
    "refine": default_prompts.DEFAULT_REFINE_PROMPT_TMPL,
    "chat_refine": chat_prompts.CHAT_REFINE_PROMPT_TMPL_MSGS[-1].content or "",
    "tags": "Use this.\n<context>\n{context_str}\n</context>\n<question>{query_str}</question>",
    "tags around a plain question": "<documents>{context_str}</documents>\n\n{query_str}",
    "labels": "Context:\n{context_str}\n\nQuestion: {query_str}\nHelpful answer:",
    "question first": "Question: {query_str}\n\nContext: {context_str}\n\nAnswer:",
    "markdown": "### Context\n**Retrieved documents:**\n{context_str}\n\n**User question:** {query_str}\n**Answer:**",
    "ruled with equals signs": "Documents\n=====\n{context_str}\n=====\nUser query: {query_str}",
    "German": "Kontext:\n{context_str}\n\nFrage: {query_str}\nAntwort:",
    "Chinese": "上下文：{context_str}\n问题：{query_str}\n答案：",
}


def fill(template: str) -> str:
    return template.format(context_str=CONTEXT, context_msg=CONTEXT, query_str=QUESTION, existing_answer="The Adige.")


@pytest.mark.parametrize("name", ANSWERING)
def test_an_answering_template_is_split(name: str) -> None:
    split = split_prompt(fill(ANSWERING[name]))
    assert split.question == QUESTION
    assert "rises near the Reschen Pass" in split.context
    assert QUESTION not in split.context


@pytest.mark.parametrize("name", ["chat_refine", "refine"])
def test_the_answer_to_be_refined_is_no_part_of_the_question(name: str) -> None:
    assert "The Adige." not in split_prompt(fill(ANSWERING[name])).question


def test_a_question_label_inside_the_context_is_not_taken_for_the_question() -> None:
    faq = "Question: When do you open?\nAnswer: At nine.\nQuestion: Do you ship?\nAnswer: Yes."
    split = split_prompt(default_prompts.DEFAULT_TEXT_QA_PROMPT_TMPL.format(context_str=faq, query_str=QUESTION))
    assert split == Split(QUESTION, faq)


def test_a_question_over_several_lines_is_kept_whole() -> None:
    long = "Compare the two rivers:\n- the Adige\n- the Po"
    assert split_prompt(fill(ANSWERING["text_qa"]).replace(QUESTION, long)).question == long


def test_a_choice_is_routed_on_the_instruction_to_choose() -> None:
    prompt = DEFAULT_SINGLE_SELECT_PROMPT_TMPL.format(
        num_choices=2, context_list="(1) rivers\n(2) cars", query_str="Po?"
    )
    split = split_prompt(prompt)
    assert split.context == "(1) rivers\n(2) cars"
    assert "the choice that is most relevant" in split.question
    assert "Po?" in split.question


def test_a_keyword_template_is_routed_on_its_instruction() -> None:
    prompt = default_prompts.DEFAULT_KEYWORD_EXTRACT_TEMPLATE_TMPL.format(max_keywords=3, text=CONTEXT)
    split = split_prompt(prompt)
    assert split.context == CONTEXT
    assert "KEYWORDS" in split.question


@pytest.mark.parametrize(
    "text",
    [
        "What is 2 + 2?",
        "Question: what is 2 + 2?\nAnswer:",
        "Why does this fail?\n```python\nfoo(\n```",
        "My list\n---\n- eggs\n---\n- milk\nHow many things are there?",
        "Write a poem.\n\nIt should rhyme.\n\nTitle: The Adige",
        DEFAULT_CONDENSE_PROMPT_TEMPLATE.format(chat_history="user: Hi\nassistant: Hello", question="And the Po?"),
        "",
    ],
)
def test_what_a_person_wrote_freely_is_left_whole(text: str) -> None:
    assert split_prompt(text) == Split(text.strip(), "")


WORDS = st.text(string.ascii_lowercase + " ,'", min_size=1, max_size=60).map(str.strip).filter(bool)


@given(question=WORDS, passages=st.lists(WORDS, min_size=1, max_size=4), name=st.sampled_from(sorted(ANSWERING)))
def test_any_plain_question_is_found_in_any_template(question: str, passages: list[str], name: str) -> None:
    filled = ANSWERING[name].format(
        context_str="\n".join(passages), context_msg="\n".join(passages), query_str=question, existing_answer="none"
    )
    assert split_prompt(filled).question == question


@given(st.text(max_size=300))
def test_no_text_makes_it_fail_or_lose_the_question(text: str) -> None:
    split = split_prompt(text)
    assert bool(split.question) == bool(text.strip())


@pytest.mark.parametrize("line", ["<document>", "Question: a?\nAnswer: b", "- - -\n---", "a: b", "context context "])
def test_long_and_hostile_material_takes_no_time(line: str) -> None:
    prompt = default_prompts.DEFAULT_TEXT_QA_PROMPT_TMPL.format(
        context_str=f"{line}\n" * (80_000 // len(line)), query_str=QUESTION
    )
    start = time.perf_counter()
    assert split_prompt(prompt).question == QUESTION
    split_prompt(prompt.replace("Query:", ""))
    assert time.perf_counter() - start < 2.0  # tens of milliseconds; quadratic shapes took 15 s


def test_the_context_in_a_chat_engines_system_prompt_is_found() -> None:
    for template in (DEFAULT_CONTEXT_TEMPLATE, FRIENDLY):
        turns = (Message("system", template.format(context_str=CONTEXT)), Message("user", "And the Po?"))
        questions, context = split_turns(turns)
        assert questions == turns
        assert context == CONTEXT


def test_template_variables_are_trusted_over_the_shape() -> None:
    odd = f"{CONTEXT} Tell me this now {QUESTION}"
    turns = (Message("user", "Hello"), Message("assistant", "Hi"), Message("user", odd))
    questions, context = split_turns(turns, Filled(QUESTION, CONTEXT))
    assert [t.text for t in questions] == ["Hello", "Hi", QUESTION]
    assert context == CONTEXT


def test_a_template_without_a_question_is_its_own_question() -> None:
    turns = (Message("user", f"Summarise: {CONTEXT} Be brief."),)
    (turn,), context = split_turns(turns, filled_from({"context_str": CONTEXT}))
    assert turn.text.split() == ["Summarise:", "Be", "brief."]
    assert context == CONTEXT


def test_variables_without_a_context_say_nothing() -> None:
    assert filled_from({"query_str": QUESTION}) is None
    assert filled_from({"context_messages": [ChatMessage(content="a"), ChatMessage(content="b")]}) == Filled(
        "", "a\n\nb"
    )
