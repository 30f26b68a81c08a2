"""Loads and renders emoji drawings of everyday things, from several designers, to train mini CLIP and make demo videos.

In:   five emoji sets from npm, pinned in `SETS`, each a JSON file of SVG bodies. They are not part of this repository.
Out:  `load_drawings`: name -> set -> SVG text; `render`: SVG text -> uint8 [size, size, 4], straight alpha.
Bad:  a set that is missing or has another version raises an error that says how to fetch it.

    folder = fetch_drawings(Path(".cache/drawings"))
    drawings = load_drawings(folder)
    render(drawings["rocket"]["noto"], 96)

Needs npm once, to fetch, and the PyPI package `resvg-py`, to render.
"""

import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

SETS: dict[str, str] = {  # iconify set -> version of the npm package @iconify-json/<set>
    "noto": "1.2.9",
    "twemoji": "1.2.5",
    "fluent-emoji-flat": "1.2.6",
    "emojione": "1.2.3",
    "openmoji": "1.2.29",
}
LICENCES: dict[str, str] = {  # SPDX, as each package's info.json says
    "noto": "Apache-2.0",
    "twemoji": "CC-BY-4.0",
    "fluent-emoji-flat": "MIT",
    "emojione": "CC-BY-4.0",
    "openmoji": "CC-BY-SA-4.0",
}

# Whole groups of noto's that hold things; of the other groups (faces, people, symbols) only what ALSO names.
_GROUPS = ("Activities", "Animals & Nature", "Food & Drink", "Objects", "Travel & Places")

# Twins (one drawing, two names), letters and arrows on squares, and what takes a sentence to tell apart.
_DROPPED = frozenset(
    """
    1st-place-medal 2nd-place-medal 3rd-place-medal admission-tickets chess-pawn club-suit cricket-game
    diamond-suit flower-playing-cards heart-suit joker knot mahjong-red-dragon moon-viewing-ceremony
    pine-decoration reminder-ribbon softball spade-suit sparkler sparkles sports-medal tennis baby-chick badger
    black-bird black-cat blossom boar cat cow dog dragon-face ewe fallen-leaf fish front-facing-baby-chick goose
    herb hibiscus horse-face leaf-fluttering-in-wind leafless-tree leopard lotus microbe monkey mouse
    nest-with-eggs orca ox phoenix pig-nose poodle rabbit-face rat rosette seedling service-dog shamrock
    spouting-whale tiger two-hump-camel white-flower wing beans beverage-box bowl-with-spoon brown-mushroom
    chestnut clinking-glasses cooking falafel fish-cake-with-swirl fork-and-knife-with-plate ginger-root
    glass-of-milk green-apple leafy-green lime mate melon moon-cake oden olive pot-of-food pouring-liquid
    rice-cracker roasted-sweet-potato root-vegetable sake shaved-ice steaming-bowl stuffed-flatbread tamale
    tangerine tumbler-glass ballot-box-with-ballot bar-chart bell-with-slash black-nib blue-book bookmark-tabs
    broken-chain bubbles calendar camera-with-flash card-file-box card-index card-index-dividers chains
    chart-decreasing chart-increasing-with-yen clamp closed-book closed-mailbox-with-lowered-flag clutch-bag
    coat computer-disk cut-of-meat dollar-banknote dvd e-mail envelope-with-arrow eraser euro-banknote
    fax-machine file-cabinet film-frames flat-shoe fountain-pen goggles green-book hammer-and-pick
    hammer-and-wrench hamsa handbag headstone identification-card inbox-tray incoming-envelope lab-coat ledger
    level-slider linked-paperclips locked-with-key locked-with-pen low-battery magnifying-glass-tilted-right
    mirror mobile-phone-with-arrow money-with-wings musical-note musical-score muted-speaker nazar-amulet
    net-with-handle notebook old-key one-piece-swimsuit open-file-folder open-mailbox-with-lowered-flag
    open-mailbox-with-raised-flag optical-disk orange-book outbox-tray page-facing-up page-with-curl paintbrush
    pen placard pound-banknote receipt rolled-up-newspaper round-pushpin running-shoe safety-vest
    speaker-low-volume speaker-medium-volume spiral-calendar studio-microphone tear-off-calendar
    telephone-receiver unlocked video-camera white-cane window womans-sandal x-ray yen-banknote airplane-arrival
    airplane-departure bridge-at-night building-construction bus-stop children-crossing cityscape-at-dusk
    classical-building cloud-with-lightning cloud-with-rain convenience-store cyclone department-store desert
    first-quarter-moon first-quarter-moon-face fog foggy full-moon full-moon-face globe-showing-asia-australia
    globe-showing-europe-africa globe-with-meridians glowing-star high-speed-train high-voltage hindu-temple
    horizontal-traffic-light hospital hotel hourglass-not-done house-with-garden houses japanese-post-office
    kaaba landslide last-quarter-moon last-quarter-moon-face light-rail love-hotel mantelpiece-clock
    map-of-japan metro milky-way minibus monorail motor-boat motorized-wheelchair motorway mountain
    mountain-cableway mountain-railway national-park new-moon new-moon-face night-with-stars office-building
    oncoming-automobile oncoming-bus oncoming-police-car oncoming-taxi post-office railway-car railway-track
    school shinto-shrine ship small-airplane snow-capped-mountain snowman-without-snow sport-utility-vehicle
    station sun-behind-cloud sun-behind-large-cloud sun-behind-small-cloud sunrise sunrise-over-mountains sunset
    suspension-railway synagogue timer-clock tram-car trolleybus umbrella umbrella-on-ground
    waning-crescent-moon waning-gibbous-moon waxing-crescent-moon waxing-gibbous-moon wedding
    """.split()
)

_ALSO = frozenset(
    """
    alien alien-monster anatomical-heart angry-face-with-horns atom-symbol baby biohazard bone brain
    broken-heart check-mark clapping-hands clown-face collision construction-worker cowboy-hat-face cross-mark
    detective ear elf exploding-head eye eyes face-with-medical-mask fairy fingerprint fleur-de-lis
    flexed-biceps folded-hands foot footprints genie ghost goblin guard handshake heart-with-arrow
    heart-with-ribbon horse-racing hundred-points infinity kiss-mark leg love-letter lungs mage mechanical-arm
    melting-face menorah merperson mouth nail-polish nerd-face ninja no-entry no-smoking nose ogre peace-symbol
    person-biking person-surfing person-swimming pile-of-poo police-officer prince princess radioactive
    recycling-symbol red-exclamation-mark red-heart red-question-mark robot santa-claus see-no-evil-monkey skier
    skull skull-and-crossbones sleeping-face smiling-face-with-halo smiling-face-with-sunglasses snowboarder
    speech-balloon sweat-droplets thought-balloon thumbs-down thumbs-up tongue tooth trident-emblem vampire
    warning waving-hand wheelchair-symbol writing-hand yin-yang zombie zzz
    """.split()
)

_SPOKEN = {  # what people would say and type
    "articulated-lorry": "truck",
    "automobile": "car",
    "beach-with-umbrella": "beach",
    "billed-cap": "baseball cap",
    "blowfish": "pufferfish",
    "bug": "caterpillar",
    "cat-face": "cat",
    "chart-increasing": "chart",
    "closed-mailbox-with-raised-flag": "mailbox",
    "cow-face": "cow",
    "deciduous-tree": "tree",
    "dog-face": "dog",
    "doughnut": "donut",
    "ear-of-corn": "corn",
    "flag-in-hole": "golf flag",
    "flying-disc": "frisbee",
    "game-die": "dice",
    "gem-stone": "diamond",
    "globe-showing-americas": "globe",
    "headphone": "headphones",
    "hippopotamus": "hippo",
    "honeybee": "bee",
    "hot-beverage": "cup of coffee",
    "hourglass-done": "hourglass",
    "lady-beetle": "ladybug",
    "locked": "padlock",
    "magnifying-glass-tilted-left": "magnifying glass",
    "mans-shoe": "shoe",
    "monkey-face": "monkey",
    "mouse-face": "mouse",
    "notebook-with-decorative-cover": "notebook",
    "passenger-ship": "ship",
    "performing-arts": "theatre masks",
    "pig-face": "pig",
    "pile-of-poo": "poo",
    "pool-8-ball": "billiard ball",
    "red-apple": "apple",
    "red-heart": "heart",
    "roll-of-paper": "toilet paper",
    "sauropod": "dinosaur",
    "speaker-high-volume": "speaker",
    "sun-with-face": "sun with a face",
    "thong-sandal": "sandal",
    "tiger-face": "tiger",
    "umbrella-with-rain-drops": "umbrella",
    "video-game": "game controller",
    "womans-boot": "boot",
    "womans-clothes": "blouse",
    "womans-hat": "hat",
    "wrapped-gift": "gift",
}


_MISNAMED = frozenset({("emojione", "cricket")})  # a bat and a ball, where the others draw the insect


def spoken(name: str) -> str:
    """The English name of a drawing, from its name in a set.

    >>> spoken("fire-engine"), spoken("automobile"), spoken("t-shirt")
    ('fire engine', 'car', 't shirt')
    """
    return _SPOKEN.get(name, name.replace("-", " "))


def _package(folder: Path, set_name: str) -> Path:
    return folder / "node_modules" / "@iconify-json" / set_name


def _is_there(folder: Path, set_name: str) -> bool:
    package = _package(folder, set_name) / "package.json"
    return package.exists() and json.loads(package.read_text())["version"] == SETS[set_name]


def fetch_drawings(folder: Path) -> Path:
    """Installs the pinned sets into `folder` with npm, unless they are there (56 MB); returns `folder`.

    Raises:
      RuntimeError: npm is not installed, or could not fetch a package.
    """
    if all(_is_there(folder, s) for s in SETS):
        return folder
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError(
            "npm is not installed, and is needed once to fetch the drawings; cure: install Node.js (Debian: apt-get install npm), "
            f"or put the packages {', '.join(f'@iconify-json/{s}@{v}' for s, v in SETS.items())} "
            f"into {folder / 'node_modules'} yourself."
        )
    folder.mkdir(parents=True, exist_ok=True)
    packages = [f"@iconify-json/{s}@{v}" for s, v in SETS.items()]
    quiet = ["--no-save", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(
        [npm, "install", "--prefix", str(folder), *quiet, *packages],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"npm could not fetch {', '.join(packages)}:\n{done.stderr.strip()}")
    return folder


def load_drawings(folder: Path, min_sets: int = 3) -> dict[str, dict[str, str]]:
    """Maps each name that at least `min_sets` sets draw to set -> SVG text; names sorted, sets as in `SETS`.

    Sets may name the same emoji differently, so drawings are matched by Unicode code points. Emojione has none and is matched by
    name.

    Raises:
      FileNotFoundError: a set is not in `folder`, or in another version.
    """
    for s in SETS:
        if not _is_there(folder, s):
            raise FileNotFoundError(f"{s} {SETS[s]} is not in {folder}; cure: call fetch_drawings first")
    icons = {s: json.loads((_package(folder, s) / "icons.json").read_text()) for s in SETS}
    chars = {s: _names_by_code_points(_package(folder, s) / "chars.json") for s in SETS}
    groups = json.loads((_package(folder, "noto") / "metadata.json").read_text())["categories"]
    wanted = {n for g in _GROUPS for n in groups[g] if n not in _DROPPED and not _is_clock(n)} | _ALSO

    drawings: dict[str, dict[str, str]] = {}
    for code_points, name in chars["noto"].items():
        if name not in wanted:
            continue
        aliases = {name} | {chars[s][code_points] for s in SETS if code_points in chars[s]}
        drawn = {}
        for s in SETS:
            names = sorted(aliases) if not chars[s] else [chars[s].get(code_points, "")]
            svgs = [svg for n in names if (s, n) not in _MISNAMED and (svg := _svg(icons[s], n))]
            if svgs:
                drawn[s] = svgs[0]
        if len(drawn) >= min_sets:
            drawings[spoken(name)] = drawn
    return dict(sorted(drawings.items()))


def render(svg: str, size_px: int) -> np.ndarray:
    """Renders an SVG as uint8 [size_px, size_px, 4]: RGB with straight alpha, the whole drawing visible."""
    import resvg_py
    from PIL import Image

    png = resvg_py.svg_to_bytes(svg_string=svg, width=size_px, height=size_px)
    image = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
    if image.size != (size_px, size_px):  # not square: centred
        square = Image.new("RGBA", (size_px, size_px))
        image.thumbnail((size_px, size_px))
        square.paste(image, ((size_px - image.width) // 2, (size_px - image.height) // 2))
        image = square
    return np.array(image)


def _is_clock(name: str) -> bool:
    return name.endswith(("-oclock", "-thirty"))


def _names_by_code_points(path: Path) -> dict[str, str]:
    """Reads code points ("1f680") -> name. Ignores the variation selector fe0f."""
    return {code.replace("-fe0f", ""): name for code, name in json.loads(path.read_text()).items()}


def _svg(icons: dict[str, Any], name: str) -> str | None:
    """The complete SVG text of one drawing; None if the set does not have it."""
    name = icons.get("aliases", {}).get(name, {}).get("parent", name)
    icon = icons["icons"].get(name)
    if icon is None:
        return None
    width, height = (icon.get(side, icons.get(side, 16)) for side in ("width", "height"))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{width}" height="{height}" '
        f'viewBox="{icon.get("left", 0)} {icon.get("top", 0)} {width} {height}">'
        f"{icon['body']}</svg>"
    )
