"""Plans the checked-in sample bucket: what each video shows, what is said in it, what is odd about its file.

What is said is mostly not what is shown, so that sight and speech are separate truths.
"""

from sample_video import Video, told

PLAN: tuple[Video, ...] = (
    Video(
        "space.mp4",
        (("rocket", 5), ("telescope", 5), (None, 2), ("ringed planet", 5), ("flying saucer", 4)),
        told(
            "My grandmother kept every letter in a wooden box under the bed.",
            "Her brother wrote to her from the army each week.",
            "One day the letters stopped, and she waited at the window.",
            "He came home in the spring with a small brown bag.",
        ),
    ),
    Video(
        "kitchen.mp4",
        (("pizza", 5), ("carrot", 4), ("donut", 5), ("watermelon", 4), ("pineapple", 4)),
        told(
            "The train to the mountains leaves the station at noon.",
            "Please bring warm clothes and a pair of strong boots.",
            "We will sleep in a cabin near the frozen lake.",
            "In the morning our guide will show us the old path.",
        ),
        voice="en-us+m3",
        fps=30,
    ),
    Video(
        "safari_hd.mp4",
        (("tiger", 5), ("elephant", 5), ("giraffe", 4), ("zebra", 4)),
        told(
            "The museum opened a new room for modern paintings.",
            "Most visitors liked the portrait of the young queen.",
            "A guard found a purple hat on the marble stairs.",
        ),
        voice="en-us+f4",
        fps=30,
        width=1280,
        height=720,
    ),
    Video(
        "harbour.mkv",
        (("anchor", 4), ("sailboat", 5), ("crab", 4), (None, 1.5), ("octopus", 5), ("umbrella", 4)),
        told(
            "The doctor told him to rest for the whole month.",
            "He read the newspaper and listened to the radio.",
            "His neighbor brought soup and fresh bread every evening.",
            "By the end of winter he could walk again.",
        ),
        voice="en-us+f4",
        fps=24,
    ),
    Video(
        "orchestra.webm",
        (("guitar", 5), ("trumpet", 4), ("drum", 5), ("accordion", 4), ("bell", 4)),
        told(
            "The mayor promised to repair the bridge before the winter.",
            "Workers closed the road and brought heavy stones.",
            "After two months the first bus crossed the river.",
            "People stood on both sides and cheered.",
        ),
    ),
    Video(
        "garden_portrait.mp4",
        (("sunflower", 4), ("butterfly", 5), ("snail", 4), ("ladybug", 4), ("tulip", 4)),
        told(
            "Our football team lost the final game last night.",
            "Their best player scored twice in the first half.",
            "The coach said that the young players tried very hard.",
        ),
        voice="en-us+Michael",
        width=360,
        height=640,
        trait="rotated",
    ),
    Video(
        "workshop_vfr.mp4",
        (("hammer", 4), ("scissors", 4), ("key", 4), ("light bulb", 4), ("magnet", 4)),
        told(
            "She learned to bake bread from her aunt in the village.",
            "Mix flour and water and wait for half an hour.",
            "Add a little salt, and never open the oven too early.",
        ),
        trait="variable_rate",
    ),
    Video(
        "winter_late_audio.mp4",
        (("snowman", 4), ("penguin", 5), ("snowflake", 4), ("ice skate", 4), ("santa claus", 4)),
        told(
            "The hottest day of the summer was the last Sunday in July.",
            "Everyone went to the beach to swim in the sea.",
            "We drank cold lemonade in the shade of a tree.",
            start_s=3.2,
        ),
        fps=30,
        trait="late_audio",
    ),
    Video(
        "market_silent.mp4",
        (("banana", 4), ("apple", 3), ("strawberry", 4), ("broccoli", 4), ("apple", 3), ("grapes", 4)),
        trait="no_audio",
    ),
    Video(
        "radio_story.m4a",
        (),
        (
            (0.5, "This is the story of a sailor who could not swim."),
            (None, "He was born in a small town far away from the ocean."),
            (None, "When he was twelve years old he saw a picture of a ship."),
            (None, "From that day he wanted to travel around the world."),
            (None, "His father laughed and sent him to work in the fields."),
            (25.0, "One night he packed his bag and walked to the coast."),
            (None, "The captain of a fishing boat gave him a job."),
            (None, "Years later he returned with gold in his pockets."),
            (None, "He bought the farm and painted the barn blue."),
        ),
        voice="en-gb-x-rp",
        trait="audio_only",
    ),
    Video(
        "city_truncated.mp4",
        (
            ("fire engine", 5),
            ("bicycle", 4),
            ("helicopter", 4),
            ("castle", 4),
            ("locomotive", 6),
            ("motorcycle", 7),
        ),
        told(
            "The students planted a hundred trees behind the school.",
            "Each class takes care of one small part of the forest.",
            "The teacher writes down how tall the trees have grown.",
            "In ten years there will be birds in every branch.",
            "Nobody will remember that this was once a parking lot.",
            "That is how patient people change the world.",
        ),
        fps=30,
        trait="truncated",
        voice="en-us+Michael",
    ),
    Video("not_a_video.mp4", trait="not_a_video"),
    Video(
        "party_pause.mp4",
        (("balloon", 4), ("birthday cake", 5), ("crown", 4), (None, 2), ("gift", 5), ("trophy", 5)),
        (
            (0.8, "The police are looking for a man with a gray beard."),
            (None, "He left the bank with a black suitcase."),
            (16.5, "The reporter called the office but nobody answered."),
            (None, "The manager was asleep in his chair."),
        ),
        voice="en-us+Michael",
    ),
    Video(
        "desert.mp4",
        (("cactus", 4), ("palm tree", 4), ("volcano", 5), ("camel", 4), ("ferris wheel", 5)),
        told(
            "The heavy rain filled the cellar with water.",
            "We carried the furniture up to the second floor.",
            "My uncle called the fire department three times.",
            "At midnight the storm finally moved away.",
        ),
        voice="en-us+m3",
        fps=20,
    ),
    Video(
        "toys.mp4",
        (("teddy bear", 5), ("robot", 5), ("kite", 4), (None, 1), ("soccer ball", 4), ("dice", 4)),
        told(
            "The judge asked the witness to speak slowly.",
            "She had seen a white truck in front of the hotel.",
            "The lawyer wanted to know the color of the driver's jacket.",
            "She told them about a dark coat with silver buttons.",
        ),
        voice="en-us+Michael",
        fps=15,
    ),
    Video(
        "night.mp4",
        (("owl", 4), ("ghost", 4), ("candle", 4), ("jack o lantern", 4), ("crescent moon", 4)),
        told(
            "Breakfast is served every morning in the garden.",
            "We offer fresh fruit, honey, and orange juice.",
            "Guests who leave early can ask for a sandwich.",
            "The elephant at the entrance is made of stone.",
        ),
    ),
    Video(
        "ocean.webm",
        (("shark", 5), ("flamingo", 4), ("turtle", 4), ("jellyfish", 4), ("whale", 5)),
        told(
            "The company will build a new factory next year.",
            "It needs engineers, drivers, and people who repair machines.",
            "The first rocket will be tested in the desert.",
            "Many families are moving to the area.",
        ),
        voice="en-us+m3",
        fps=24,
    ),
    Video(
        "desk.mp4",
        (("books", 4), ("laptop", 4), ("alarm clock", 5), ("microscope", 4), ("umbrella", 4), ("camera", 4)),
        told(
            "The lion slept under a tree after the long hunt.",
            "Two young elephants played in the mud by the river.",
            "A giraffe can see danger from very far away.",
            "When the sun went down the whole valley was quiet.",
        ),
    ),
    Video(
        "picnic.mkv",
        (
            ("hamburger", 4),
            ("cherries", 4),
            ("croissant", 4),
            ("pretzel", 4),
            ("lemon", 4),
            ("french fries", 4),
        ),
        told(
            "Turn left at the church and follow the narrow street.",
            "You will see a yellow house with a green door.",
            "Knock twice and ask for the owner of the shop.",
            "He keeps the key in a drawer behind the counter.",
        ),
        voice="en-us+max",
        fps=24,
    ),
    Video(
        "farm.mp4",
        (("cow", 4), ("tractor", 5), ("corn", 4), ("rooster", 4), ("pig", 4)),
        told(
            "The astronaut looked out at the bright blue planet.",
            "The engine was silent, and the radio had no signal.",
            "Then a tired voice answered from the ground.",
            "The crew could finally begin the journey home.",
        ),
        voice="en-us+f4",
        fps=20,
    ),
)
