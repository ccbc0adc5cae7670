"""The pictures of the gallery."""

from tools.gallery import apples, citrus, greens, melons, peppers, roots, stone, tropical
from tools.gallery.stage import Finish, Kind, Light, Picture, Placed, Pose, View

WAXY = Finish(coat=0.25, bump=0.06, bump_scale=30)
PEEL = Finish(coat=0.15, bump=0.35, bump_scale=24, pits=True)
CUT = Finish(coat=0.3, bump=0.1, bump_scale=30)
DOWNY = Finish(sheen=0.7, specular=0.25, bump=0.1, bump_scale=120)
GLOSSY = Finish(coat=0.6, bump=0.02, bump_scale=12)
DULL = Finish(specular=0.3, bump=0.3, bump_scale=45)
PAPERY = Finish(coat=0.1, bump=0.15, bump_scale=25)

ROW = Pose(tilt=6, yaw=9, lying=True)
SAME_WAY = Pose(tilt=5, yaw=7, lying=True, flips=False)
LEANING = Pose(tilt=70)

GRAPEFRUIT_HALF = Kind(citrus.grapefruit_half, CUT, 2)
GRAPEFRUIT_HALVES = (
    Placed(GRAPEFRUIT_HALF, (-0.75, -0.2, 0.14), (34, 8, 0), 1.0, rests=True),
    Placed(GRAPEFRUIT_HALF, (0.6, -0.8, 0.14), (32, -8, 0), 1.0, rests=True),
)
PASSION_HALF = Kind(stone.passion_half, CUT, 2)
PASSION_HALVES = (
    Placed(PASSION_HALF, (-0.7, -0.4, 0.14), (34, 8, 0), 1.0, rests=True),
    Placed(PASSION_HALF, (0.6, -0.8, 0.14), (32, -8, 0), 1.0, rests=True),
)
STANDING = Kind(tropical.pineapple, DULL, 6)
PINEAPPLES = tuple(
    Placed(STANDING, (1.25 * column + 0.6 * (row % 2), 1.3 * row, 0.95), (4 * column, 0, 77 * row))
    for row in range(-1, 6)
    for column in range(-3, 4)
)

PICTURES = (
    Picture("Granny-Smith", Kind(apples.granny_smith, WAXY), count=64),
    Picture("Golden-Delicious", Kind(apples.golden_delicious, WAXY), count=64),
    Picture("Red-Delicious", Kind(apples.red_delicious, WAXY), count=64),
    Picture("Royal-Gala", Kind(apples.royal_gala, WAXY), count=64),
    Picture(
        "Conference",
        Kind(apples.conference, Finish(coat=0.05, bump=0.15, bump_scale=40)),
        count=48,
        cell=(1.0, 1.6, 0.9),
        pose=Pose(tilt=25, yaw=40, lying=True),
    ),
    Picture("Orange", Kind(citrus.orange, PEEL), count=64),
    Picture("Lemon", Kind(citrus.lemon, PEEL), count=72, cell=(1.05, 1.15, 0.9)),
    Picture("Lime", Kind(citrus.lime, PEEL), count=74, cell=(1.0, 1.0, 0.95)),
    Picture("Red-Grapefruit", Kind(citrus.grapefruit, PEEL), count=64, placed=GRAPEFRUIT_HALVES),
    Picture("Peach", Kind(stone.peach, DOWNY), count=64),
    Picture("Plum", Kind(stone.plum, Finish(bump=0.05)), count=64),
    Picture("Mango", Kind(stone.mango, WAXY), count=56, cell=(1.1, 1.3, 1.0)),
    Picture("Pomegranate", Kind(stone.pomegranate, PAPERY), count=64, pose=LEANING),
    Picture("Passion-Fruit", Kind(stone.passion_fruit, WAXY), count=64, placed=PASSION_HALVES),
    Picture(
        "Red-Bell-Pepper",
        Kind(peppers.pepper(("a80a0a", "c2140e", "d0281a")), GLOSSY),
        count=56,
        cell=(1.1, 1.1, 1.2),
    ),
    Picture(
        "Yellow-Bell-Pepper",
        Kind(peppers.pepper(("eaa50c", "f2b812", "f6c928")), GLOSSY),
        count=56,
        cell=(1.1, 1.1, 1.2),
    ),
    Picture(
        "Green-Bell-Pepper",
        Kind(peppers.pepper(("1f5216", "2d6a1c", "3f7d24")), GLOSSY),
        count=56,
        cell=(1.1, 1.1, 1.2),
    ),
    Picture("Regular-Tomato", Kind(peppers.tomato, GLOSSY), count=64, cell=(1.05, 1.05, 0.9)),
    Picture(
        "Vine-Tomato",
        Kind(peppers.vine, GLOSSY),
        count=18,
        cell=(2.05, 2.9, 1.1),
        box=(6.2, 8.8),
        pose=Pose(tilt=5, yaw=7),
        view=View(span=4.6),
    ),
    Picture(
        "Aubergine",
        Kind(peppers.aubergine, GLOSSY),
        count=54,
        cell=(0.95, 2.5, 0.95),
        box=(5.8, 7.6),
        pose=Pose(tilt=8, yaw=14, lying=True),
        view=View(span=4.4),
    ),
    Picture(
        "Carrots",
        Kind(roots.carrot, DULL),
        count=66,
        cell=(0.52, 3.4, 0.55),
        box=(5.2, 7.0),
        pose=SAME_WAY,
        view=View(span=3.8),
    ),
    Picture("Solid-Potato", Kind(roots.potato, DULL), count=72, cell=(1.1, 1.2, 0.9)),
    Picture(
        "Sweet-Potato",
        Kind(roots.sweet_potato, DULL),
        count=44,
        cell=(1.1, 2.2, 0.95),
        box=(6.0, 6.8),
        pose=Pose(tilt=15, yaw=40, lying=True),
    ),
    Picture("Red-Beet", Kind(roots.beet, DULL), count=60, cell=(1.05, 1.05, 1.1)),
    Picture("Yellow-Onion", Kind(roots.onion, PAPERY), count=64, cell=(1.05, 1.05, 1.05)),
    Picture("Garlic", Kind(roots.garlic, PAPERY), count=64, cell=(1.05, 1.05, 1.0), pose=LEANING),
    Picture(
        "Avocado",
        Kind(tropical.avocado, Finish(coat=0.1, bump=0.2, bump_scale=30)),
        count=60,
        cell=(1.0, 1.2, 1.0),
        placed=(
            Placed(
                Kind(tropical.avocado_half, CUT, 1), (0.1, -0.5, 0.34), (118, 0, 20), rests=True
            ),
        ),
    ),
    Picture(
        "Banana",
        Kind(tropical.banana_hand, Finish(coat=0.1, bump=0.05)),
        count=27,
        cell=(2.3, 1.9, 0.9),
        box=(7.0, 6.2),
        pose=Pose(tilt=9, yaw=22, rolled=False),
        view=View(span=4.8),
    ),
    Picture(
        "Kiwi",
        Kind(tropical.kiwi, Finish(sheen=0.5, specular=0.2, bump=0.4, bump_scale=60)),
        count=72,
        cell=(0.95, 1.0, 0.95),
        placed=(
            Placed(Kind(tropical.kiwi_half, CUT, 1), (-0.6, -0.4, 0.14), (34, 8, 0), 1.1, True),
            Placed(Kind(tropical.kiwi_half, CUT, 1), (0.6, -0.9, 0.14), (32, -8, 0), 1.1, True),
        ),
    ),
    Picture(
        "Pineapple",
        STANDING,
        placed=PINEAPPLES,
        floor="wood",
        view=View(span=3.5, target=(0, -0.6, 1.05), elevation=25),
        light=Light(sky=1.7),
    ),
    Picture(
        "Cantaloupe",
        Kind(melons.cantaloupe, DULL),
        count=56,
        placed=(
            Placed(Kind(melons.cantaloupe_half, CUT, 1), (0.1, -0.5, 0.12), (34, 0, 0), 1.05, True),
        ),
        view=View(span=3.8),
    ),
    Picture(
        "Watermelon",
        Kind(melons.watermelon, WAXY),
        count=50,
        cell=(1.1, 1.2, 1.05),
        placed=(
            Placed(Kind(melons.watermelon_half, CUT, 1), (0.1, -0.5, 0.26), (36, 0, 0), 1.05, True),
        ),
        view=View(span=3.6),
    ),
    Picture(
        "Cucumber",
        Kind(greens.cucumber, WAXY),
        count=46,
        cell=(0.62, 3.75, 0.6),
        box=(5.0, 7.8),
        pose=ROW,
        view=View(span=3.6),
    ),
    Picture(
        "Zucchini",
        Kind(greens.zucchini, WAXY),
        count=50,
        cell=(0.66, 3.3, 0.6),
        box=(5.2, 6.8),
        pose=ROW,
        view=View(span=3.6),
    ),
    Picture(
        "Asparagus",
        Kind(greens.asparagus, Finish(bump=0.1)),
        count=120,
        cell=(0.3, 5.4, 0.3),
        box=(5.0, 5.6),
        pose=Pose(tilt=2, yaw=3, lying=True, flips=False),
        floor="wood",
        view=View(span=4.4, target=(0, 1.5, 0.5), elevation=58),
    ),
    Picture(
        "Leek",
        Kind(greens.leek, Finish(coat=0.1)),
        count=26,
        cell=(0.68, 4.4, 0.6),
        box=(5.6, 4.6),
        pose=Pose(tilt=2, yaw=3, lying=True, flips=False),
        floor="wood",
        view=View(span=4.9, target=(0, 0.5, 0.5), elevation=60),
    ),
    Picture(
        "Brown-Cap-Mushroom",
        Kind(greens.mushroom, Finish(specular=0.3, sheen=0.2, bump=0.1)),
        count=76,
        cell=(1.0, 1.0, 0.8),
        pose=LEANING,
    ),
)
