"""General knowledge: everyday questions with a short answer that most readers know, as the easy part of any traffic."""

from __future__ import annotations

from emafusion.demo.grading import mention
from emafusion.demo.tasks.prompt import DemoPrompt, Draft, numbered

# (question, what is right, what is wrong and tempting)
_QUESTIONS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("What is the capital of France?", ("Paris",), ("Lyon", "Marseille")),
    ("What is the capital of Japan?", ("Tokyo",), ("Kyoto", "Osaka")),
    ("What is the capital of Italy?", ("Rome",), ("Milan", "Venice")),
    ("What is the capital of Egypt?", ("Cairo",), ("Alexandria", "Luxor")),
    ("What is the capital of Canada?", ("Ottawa",), ("Toronto", "Montreal", "Vancouver")),
    ("What is the capital of Australia?", ("Canberra",), ("Sydney", "Melbourne")),
    ("What is the capital of Brazil?", ("Brasília", "Brasilia"), ("Rio de Janeiro", "São Paulo", "Sao Paulo")),
    ("What is the capital of Turkey?", ("Ankara",), ("Istanbul", "Izmir")),
    ("What is the opposite of hot?", ("cold",), ("warm", "cool")),
    ("What is the opposite of early?", ("late",), ("soon", "quick")),
    ("What is the opposite of full?", ("empty",), ("half", "heavy")),
    ("What is the opposite of shallow?", ("deep",), ("flat", "wide")),
    ("What colour is a ripe banana?", ("yellow",), ("green", "red", "brown")),
    ("Which colour do you get from blue and yellow paint?", ("green",), ("purple", "orange", "brown")),
    ("Which colour do you get from red and white paint?", ("pink",), ("purple", "orange", "grey", "gray")),
    ("How many days does a week have?", ("7", "seven"), ("5", "five", "6", "six")),
    ("How many legs does a spider have?", ("8", "eight"), ("6", "six", "4", "four")),
    ("How many minutes does an hour have?", ("60", "sixty"), ("100", "30", "24")),
    ("How many months does a year have?", ("12", "twelve"), ("10", "ten", "52")),
    ("How many sides does a hexagon have?", ("6", "six"), ("5", "five", "8", "eight")),
    ("How many strings does a violin have?", ("4", "four"), ("5", "five", "6", "six")),
    ("What is the chemical symbol of gold?", ("Au",), ("Go", "Gd", "Ag")),
    ("What is the chemical formula of water?", ("H2O", "H₂O"), ("CO2", "HO2", "H2O2")),
    ("What is the largest planet of the solar system?", ("Jupiter",), ("Saturn", "Earth", "Neptune")),
    ("Which planet is nearest to the Sun?", ("Mercury",), ("Venus", "Earth", "Mars")),
    ("Which gas do plants take in for photosynthesis?", ("carbon dioxide", "CO2", "CO₂"), ("oxygen", "nitrogen")),
    ("At how many degrees Celsius does water boil at sea level?", ("100",), ("0", "90", "212")),
    ("What is the plural of mouse?", ("mice",), ("mouses", "mices")),
    ("What is the plural of child?", ("children",), ("childs", "childrens")),
    ("What is the past tense of the verb to go?", ("went",), ("goed", "gone")),
    ("What is the past tense of the verb to bring?", ("brought",), ("brang", "bringed", "bought")),
    ("What is a young dog called?", ("puppy", "pup"), ("kitten", "calf", "cub")),
    ("What is a young cow called?", ("calf",), ("foal", "lamb", "puppy", "cub")),
    ("Who wrote the play Hamlet?", ("Shakespeare",), ("Marlowe", "Dickens", "Goethe")),
    ("Who painted the Mona Lisa?", ("Leonardo", "da Vinci"), ("Michelangelo", "Raphael", "Picasso")),
    ("On which continent is the Sahara?", ("Africa", "African"), ("Asia", "Europe", "America")),
)


def build() -> list[DemoPrompt]:
    """36 questions."""
    drafts: list[Draft] = []
    for question, right, wrong in _QUESTIONS:
        prompt = f"{question} Reply in one short sentence."
        drafts.append((prompt, mention(right, wrong), f"It is {right[0]}.", f"It is {wrong[0]}."))
    return numbered("general", drafts)
