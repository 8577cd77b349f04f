"""How private texts begin, before the reference goes on by itself; then the opening is cut off.

Own sentences, in many registers: a pool of one kind would only judge that kind.
"""

OPENINGS = (
    # narrative
    "The old doctor closed his bag and",
    "When I was young, my grandmother used to",
    "Nobody in the village remembered who had built",
    "She put the letter back into the drawer because",
    "By the time the ferry reached the island,",
    "He had been walking since dawn, and now",
    "There was only one lamp in the room, and it",
    "The children found the key under",
    "On the last day of the harvest, the farmer",
    "My brother never spoke about the winter when",
    # news
    "The city council voted on Tuesday to",
    "Heavy rain is expected across the north, and",
    "Researchers said on Thursday that the new",
    "The company announced that it would close",
    "Two people were rescued yesterday after",
    "After weeks of talks, the union and the",
    "The museum will reopen next spring with",
    "Prices of bread and milk rose again because",
    # technical
    "To replace the filter, first turn off",
    "A good bridge must carry its own weight and",
    "The engine starts only when the pressure",
    "In a database, an index makes it possible to",
    "Before you solder the joint, clean",
    "The program reads the file line by line and",
    "A battery loses capacity when it is",
    "The second version of the protocol adds",
    # science
    "Plants that grow in the shade tend to",
    "The moon has no atmosphere, so",
    "When water freezes, its molecules",
    "Bees find their way back by",
    "The rocks in this valley were formed when",
    "A fever is one of the ways in which the body",
    "Most of the energy of a star comes from",
    # dialogue
    '"I did not say that," she answered. "I said',
    '"Where have you been?" asked the captain. "We',
    '"It is not far," said the boy, "but you must',
    "They argued about money until the waiter",
    "My neighbour called over the fence and asked",
    "So I told him the truth, which was that",
    # cookery and household
    "Cut the onions finely, then add",
    "For the dough, mix the flour with",
    "This soup tastes best on the second day, when",
    "To clean a wooden floor, use",
    "Leave the beans in cold water overnight and",
    # law, commerce, office
    "The tenant shall pay the rent on the first",
    "Neither party may transfer this agreement without",
    "Please find below the minutes of the meeting, in which",
    "Thank you for your order. Your parcel",
    "Applicants must be at least eighteen years old and",
    "The court held that the owner of the house",
    # history, travel, biography
    "In the twelfth century the abbey was",
    "The railway reached the town late, and so",
    "Born the third of nine children, she",
    "From the station it is a short walk to",
    "The market square is busiest on Saturday, when",
    "During the war the factory made",
    "His first book was refused by every",
    # sport, arts, opinion
    "In the second half the visitors",
    "The film begins slowly, but",
    "What I like most about this piano is",
    "People often say that money cannot buy happiness, yet",
    "A teacher once told me that the best way to learn",
    "If I could change one thing about this city, it would be",
)
