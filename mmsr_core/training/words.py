"""Common English words for the text tokenizer, beside those of the captions: what people type about photos."""

from __future__ import annotations

POSITIVE = (
    "sharp", "clean", "highly detailed", "high quality", "crisp", "clear", "in focus", "fine texture", "detailed",
    "high resolution", "sharp focus", "professional photo", "best quality", "noise free",
)  # fmt: skip
FLAW_WORDS = {  # words of training/degradation.py's flaws -> other ways to say them
    "blurry": ("blurry", "blurred", "out of focus", "soft", "unsharp", "motion blur", "hazy"),
    "noisy": ("noisy", "grainy", "noise", "film grain", "speckled"),
    "jpeg artifacts": ("jpeg artifacts", "compression artifacts", "blocky", "compressed", "ringing"),
    "low quality": ("low quality", "low resolution", "bad quality", "worst quality", "pixelated", "degraded"),
}
COMMON = """
the be to of and a in that have it for not on with he as you do at this but his by from they we say her she or an will
my one all would there their what so up out if about who get which go me when make can like time no just him know take
people into year your good some could them see other than then now look only come its over think also back after use
two how our work first well way even new want because any these give day most us is are was were been being has had
did said went made three four five six seven eight nine ten hundred many much more less few several both each every
another same different left right centre center middle top bottom upper lower corner side front behind beside between
among above below under across along around inside outside near far away next against through towards background
foreground horizon photo photograph picture image view scene shot portrait landscape panorama close closeup macro
detail part section crop frame composition angle perspective seen shows showing filled covered surrounded dominated
mostly partly entirely nearly night morning noon afternoon evening dusk dawn sunset sunrise twilight midnight winter
spring summer autumn fall sunny cloudy rainy snowy foggy misty stormy windy clear hazy overcast light dark bright dim
shadow shade glow glowing sunlight moonlight backlit lit lamp candle neon flash reflection silhouette contrast
exposure low high key soft hard red orange yellow green cyan teal blue purple violet pink magenta brown beige tan
white black grey gray silver gold golden colour color colours colors colourful colorful pale deep vivid muted warm
cool cold monochrome pastel saturated tone tones large small big little tiny huge tall short long wide narrow thin
thick round square flat curved straight sharp pointed old ancient modern young rustic vintage antique classic
contemporary traditional wooden metal metallic plastic glass stone brick concrete marble leather paper fabric cloth
wool cotton silk fur feather skin hair glossy matte shiny rough smooth textured wet dry dusty dirty clean broken worn
rusty polished striped spotted dotted checked floral pattern patterned man woman boy girl child baby person crowd
couple family friend group face head eye eyes nose mouth lips ear hand hands finger arm arms leg legs foot feet body
shoulder beard smile smiling laughing crying looking standing sitting lying walking running jumping dancing playing
working sleeping reading writing eating drinking cooking riding driving swimming holding wearing dress shirt suit coat
jacket hat cap glasses sunglasses shoes boots jeans skirt tie scarf gloves watch ring dog cat horse cow sheep goat pig
chicken duck goose bird eagle owl parrot fish shark whale dolphin lion tiger bear wolf fox deer elephant giraffe zebra
monkey rabbit squirrel mouse snake lizard turtle frog insect butterfly bee spider puppy kitten car truck bus van taxi
motorcycle bicycle bike train tram boat ship sailboat ferry airplane plane helicopter wheel tyre road street highway
path trail track bridge tunnel pier dock harbour railway station airport parking traffic sign house home building
tower skyscraper castle church temple mosque palace ruin barn hut cabin tent shop store market hotel restaurant cafe
bar office school museum library hospital factory stadium theatre city town village park garden yard wall roof floor
ceiling window door gate fence stairs step column arch balcony chimney facade interior room kitchen bedroom bathroom
hall corridor chair sofa couch bench table desk bed shelf cabinet drawer mirror carpet rug curtain pillow blanket
clock vase painting poster statue sculpture fountain book books bottle cup mug plate bowl dish spoon fork knife pan
pot tray basket box bag suitcase umbrella phone laptop computer keyboard screen camera guitar piano violin drum toy
ball food meal breakfast lunch dinner dessert snack bread cake pie cookie biscuit pastry pizza burger sandwich pasta
noodles rice soup salad cheese butter egg eggs milk cream yogurt honey sugar salt pepper sauce oil meat beef pork ham
bacon sausage steak seafood shrimp fruit apple pear peach plum cherry grape lemon lime banana strawberry blueberry
raspberry berry berries melon pineapple mango tomato potato carrot onion garlic cucumber cabbage lettuce spinach
broccoli mushroom corn bean herb basil mint nut nuts almond chocolate coffee tea juice water wine beer cocktail ice
fried grilled baked roasted boiled tree trees forest wood woods jungle bush shrub hedge grass lawn meadow field farm
wheat leaf leaves branch branches trunk root bark moss fern ivy flower flowers petal rose tulip daisy lily sunflower
lavender blossom bud seed cactus palm pine oak birch maple willow bamboo vine plant plants sky cloud clouds sun moon
star stars rainbow lightning storm rain snow frost fog mist smoke fire flame sea ocean wave waves beach shore coast
bay island lake pond river stream creek waterfall pool puddle splash drop drops bubbles ground soil earth mud sand
dune desert rock rocks stones pebble gravel cliff canyon valley hill hills mountain mountains peak slope glacier
volcano cave pavement asphalt tiles planks snowfield beautiful pretty lovely calm peaceful quiet busy empty full
crowded lonely dramatic epic mysterious romantic happy sad funny fresh delicious tasty sweet sour spicy hot raw ripe
healthy natural wild rural urban industrial tropical arctic alpine blurred blur bokeh depth focus sharpness grain
noise texture resolution quality artifacts artifact compression upscaled photography photographic realistic realism
lens zoom aerial drone fisheye vertical horizontal symmetrical abstract minimal object furniture vehicle animal
without almost very quite slightly rather while where
"""


def lexicon() -> list[str]:
    """Every word and phrase of this file, once."""
    phrases = (*POSITIVE, *(phrase for row in FLAW_WORDS.values() for phrase in row))
    return list(dict.fromkeys([*phrases, *COMMON.split()]))
