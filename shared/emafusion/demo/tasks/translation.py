"""Translation of short phrases, each with every translation that we accept."""

from __future__ import annotations

from emafusion.demo.grading import phrase
from emafusion.demo.tasks.prompt import DemoPrompt, Grade, numbered

_FROM_ENGLISH: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "German": (
        ("Good morning", ("Guten Morgen",)),
        ("Thank you very much", ("Vielen Dank", "Danke schön", "Danke sehr", "Herzlichen Dank", "Dankeschön")),
        ("the red house", ("das rote Haus",)),
        ("I am hungry", ("Ich habe Hunger", "Ich bin hungrig")),
        ("Where is the bathroom?", ("Wo ist das Badezimmer", "Wo ist die Toilette", "Wo ist das Bad", "Wo ist das WC")),
        ("We are going to the cinema", ("Wir gehen ins Kino", "Wir gehen in das Kino")),
        ("The book is on the table", ("Das Buch ist auf dem Tisch", "Das Buch liegt auf dem Tisch")),
    ),
    "French": (
        ("Good evening", ("Bonsoir",)),
        ("the black cat", ("le chat noir",)),
        ("See you tomorrow", ("À demain", "A demain")),
        ("I do not know", ("Je ne sais pas", "Je sais pas")),
        ("My name is Paul", ("Je m'appelle Paul", "Mon nom est Paul")),
        ("a glass of water", ("un verre d'eau",)),
        ("She is my sister", ("C'est ma sœur", "Elle est ma sœur", "C'est ma soeur", "Elle est ma soeur")),
    ),
    "Spanish": (
        ("Good night", ("Buenas noches",)),
        ("How are you?", ("Cómo estás", "Cómo está", "Cómo está usted", "Qué tal", "Cómo están")),
        ("the white door", ("la puerta blanca",)),
        ("I like coffee", ("Me gusta el café", "A mí me gusta el café")),
        ("Happy birthday", ("Feliz cumpleaños",)),
        ("We have two dogs", ("Tenemos dos perros", "Nosotros tenemos dos perros", "Nosotras tenemos dos perros")),
        ("It is raining today", ("Hoy llueve", "Hoy está lloviendo", "Está lloviendo hoy", "Llueve hoy")),
    ),
    "Italian": (
        ("Good day", ("Buongiorno", "Buon giorno", "Buona giornata")),
        ("a new car", ("una nuova macchina", "una macchina nuova", "una nuova auto", "un'auto nuova")),
        ("I love you", ("Ti amo", "Ti voglio bene")),
        ("How much does it cost?", ("Quanto costa", "Quanto costa questo", "Quanto costa?")),
        ("The sea is blue", ("Il mare è blu", "Il mare è azzurro")),
    ),
}
_TO_ENGLISH: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("German", "Das Wetter ist schön", (
        "The weather is nice", "The weather is beautiful", "The weather is lovely", "The weather is good",
        "The weather is fine",
    )),
    ("German", "Ich komme morgen", (
        "I am coming tomorrow", "I'm coming tomorrow", "I will come tomorrow", "I'll come tomorrow", "I come tomorrow",
    )),
    ("French", "Il fait froid", ("It is cold", "It's cold", "It is cold outside", "It's cold outside")),
    ("French", "Je suis fatigué", ("I am tired", "I'm tired")),
    ("Spanish", "¿Cuántos años tienes?", ("How old are you",)),
    ("Spanish", "Tengo sed", ("I am thirsty", "I'm thirsty")),
    ("Italian", "Dove abiti?", ("Where do you live",)),
    ("Italian", "Ho perso le chiavi", (
        "I lost my keys", "I lost the keys", "I have lost my keys", "I have lost the keys", "I've lost my keys",
        "I've lost the keys",
    )),
    ("Dutch", "Tot ziens", ("Goodbye", "Bye", "See you", "See you later", "Good bye", "See you soon")),
    ("Portuguese", "Boa sorte", ("Good luck",)),
)  # fmt: skip

_EXAMPLES = {
    "German": (("Good evening", "Guten Abend"), ("the small dog", "der kleine Hund"), ("I am tired", "Ich bin müde")),
    "French": (("Good day", "Bonjour"), ("the white dog", "le chien blanc"), ("I am hungry", "J'ai faim")),
    "Spanish": (("Good day", "Buenos días"), ("the red car", "el coche rojo"), ("I am hungry", "Tengo hambre")),
    "Italian": (("Good evening", "Buonasera"), ("the red house", "la casa rossa"), ("I am hungry", "Ho fame")),
}


def build() -> list[DemoPrompt]:
    """36 phrases, most of them out of English."""
    drafts: list[tuple[str, Grade, str, str]] = []
    for language, phrases in _FROM_ENGLISH.items():
        shown = "".join(f"English: {source}\n{language}: {target}\n" for source, target in _EXAMPLES[language])
        for i, (text, accepted) in enumerate(phrases):
            prompt = f'Translate into {language}: "{text}". Reply with the translation only.'
            if i % 2 == 0:
                prompt = f"{shown}English: {text}\n{language}:"
            drafts.append((prompt, phrase(*accepted), accepted[0], text))
    for language, text, accepted in _TO_ENGLISH:
        prompt = f'Translate from {language} into English: "{text}". Reply with the translation only.'
        drafts.append((prompt, phrase(*accepted), accepted[0], text))
    return numbered("translation", drafts)
