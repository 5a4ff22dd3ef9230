"""Classification with a closed set of labels: sentiment, topic, language and the intent of a customer's message."""

from __future__ import annotations

from emafusion.demo.grading import label
from emafusion.demo.tasks.prompt import DemoPrompt, Grade, numbered

_SENTIMENT = (
    ("I love this kettle, it boils in no time!", "positive"),
    ("The worst hotel I have ever stayed in.", "negative"),
    ("Wonderful music and friendly people.", "positive"),
    ("Not bad at all, I would even buy it again.", "positive"),
    ("Great, it broke on the second day. Exactly what I needed.", "negative"),
    ("The food was cold and the waiter was rude.", "negative"),
    ("I expected little and was proven wrong in the nicest way.", "positive"),
    ("It is hard to say anything good about the battery.", "negative"),
    ("My neighbour hates it, but I could not be happier.", "positive"),
    ("A terrible waste of money.", "negative"),
    ("If you enjoy waiting two hours for cold soup, this is your place.", "negative"),
)
_TOPIC = (
    ("The striker scored twice in the final minutes.", "sports"),
    ("Parliament votes on the new election law next week.", "politics"),
    ("The central bank raised interest rates again.", "economy"),
    ("A new vaccine lowers the risk of severe flu.", "health"),
    ("Astronomers found water vapour around a distant planet.", "science"),
    ("The goalkeeper's transfer makes the club's accountants nervous, but fans sing.", "sports"),
    ("Car makers report falling profits as exports shrink.", "economy"),
    ("Doctors advise eight hours of sleep against migraines.", "health"),
    ("The minister resigned after the vote of no confidence.", "politics"),
    ("Physicists measure the decay of a particle more precisely.", "science"),
    ("Inflation made bread a fifth dearer in a year.", "economy"),
)
_LANGUAGE = (
    ("Wo ist der Bahnhof?", "German"),
    ("Où est la gare ?", "French"),
    ("¿Dónde está la estación?", "Spanish"),
    ("Dov'è la stazione?", "Italian"),
    ("Onde fica a estação de trem?", "Portuguese"),
    ("Waar is het station?", "Dutch"),
    ("Gdzie jest dworzec?", "Polish"),
    ("Var ligger stationen?", "Swedish"),
    ("Missä rautatieasema on?", "Finnish"),
    ("De trein heeft vandaag vertraging.", "Dutch"),
    ("Não sei o que fazer amanhã.", "Portuguese"),
    ("Huomenna sataa lunta.", "Finnish"),
)
_INTENT = (
    ("I lost my card in the park this morning.", "block_card"),
    ("Please send 40 euros to my sister.", "transfer"),
    ("How much is left on my account?", "balance"),
    ("The app does not let me in, it says wrong code.", "login_problem"),
    ("I want to stop being your customer.", "close_account"),
    ("Someone stole my wallet!", "block_card"),
    ("Can I afford a 300 euro bike with what I have in there?", "balance"),
    ("I forgot what I have to type at the start.", "login_problem"),
    ("Move the rent money over to my landlord.", "transfer"),
    ("It was nice with you, but I am going to another bank.", "close_account"),
)
_EXAMPLES = {
    "sentiment": (
        ("What a lovely surprise!", "positive"),
        ("It stopped working at once.", "negative"),
    ),
    "topic": (
        ("The tennis final starts at noon.", "sports"),
        ("Exports fell by a tenth.", "economy"),
        ("The senate adjourned.", "politics"),
    ),
    "language": (
        ("Guten Abend", "German"),
        ("Buona sera", "Italian"),
        ("Goedenavond", "Dutch"),
        ("God kväll", "Swedish"),
    ),
    "intent": (
        ("Send 5 euros to Tim.", "transfer"),
        ("My card is gone.", "block_card"),
        ("I cannot sign in.", "login_problem"),
    ),
}
_SETS = (
    ("sentiment", "Is this review positive or negative?", _SENTIMENT),
    ("topic", "Which topic is this news line about: sports, politics, economy, health or science?", _TOPIC),
    (
        "language",
        "Which language is this: German, French, Spanish, Italian, Portuguese, Dutch, Polish, Swedish or Finnish?",
        _LANGUAGE,
    ),
    (
        "intent",
        "Which intent has this bank customer: block_card, transfer, balance, login_problem or close_account?",
        _INTENT,
    ),
)


def build() -> list[DemoPrompt]:
    """44 texts in four label sets."""
    drafts: list[tuple[str, Grade, str, str]] = []
    for kind, question, examples in _SETS:
        names = sorted({name for _, name in examples})
        for i, (text, right) in enumerate(examples):
            wrong = names[(names.index(right) + 1) % len(names)]
            prompt = f"{question} Reply with one word.\n\n{text}"
            draft = (prompt, label(right, names), right, wrong)
            if i % 2 == 1 and kind != "sentiment":
                shown = "".join(f"Text: {example}\nLabel: {name}\n\n" for example, name in _EXAMPLES[kind])
                draft = (f"{question}\n\n{shown}Text: {text}\nLabel:", *draft[1:])
            drafts.append(draft)
    return numbered("classification", drafts)
