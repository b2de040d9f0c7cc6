//! Words for names that people can remember.

/// The words of deterministic mode, in this order for good.
pub(crate) const DETERMINISTIC_WORDS: &[&str; 50] = &[
    "acorn", "anchor", "apricot", "aspen", "badger", "barley", "basil", "beacon", "birch",
    "breeze", "canyon", "cedar", "clover", "cobalt", "comet", "coral", "cricket", "dune", "ember",
    "falcon", "fern", "fjord", "flint", "garnet", "ginger", "glacier", "harbor", "hazel", "heron",
    "indigo", "ivy", "jasper", "juniper", "kelp", "lagoon", "lantern", "linden", "lotus", "maple",
    "meadow", "nectar", "otter", "pebble", "quartz", "raven", "saffron", "tundra", "velvet",
    "willow", "zephyr",
];

pub(crate) const ADJECTIVES: &[&str] = &[
    "amber", "bold", "brave", "bright", "brisk", "calm", "clear", "clever", "cool", "crisp",
    "curious", "deep", "eager", "early", "fair", "fancy", "fast", "fresh", "gentle", "glad",
    "golden", "grand", "happy", "honest", "humble", "keen", "kind", "late", "light", "lively",
    "loud", "lucky", "mellow", "mighty", "modest", "neat", "noble", "patient", "plain", "polite",
    "proud", "quick", "quiet", "rapid", "ready", "round", "sharp", "shiny", "silent", "silver",
    "slow", "small", "smart", "smooth", "soft", "solid", "steady", "sunny", "sweet", "swift",
    "tall", "tidy", "warm", "wise",
];

pub(crate) const NOUNS: &[&str] = &[
    "apples", "arrows", "badgers", "bakers", "beacons", "bells", "birds", "boats", "books",
    "bridges", "candles", "clouds", "coins", "comets", "cooks", "corals", "deer", "doors", "drums",
    "eagles", "engines", "fields", "flutes", "foxes", "gardens", "geese", "hammers", "harbors",
    "herons", "hills", "horses", "islands", "kites", "lakes", "lamps", "leaves", "lemons", "maps",
    "masons", "mills", "moons", "otters", "owls", "pears", "pilots", "planets", "ponds", "poets",
    "ravens", "rivers", "roads", "rooms", "sailors", "seeds", "ships", "stars", "stones", "storms",
    "towers", "trains", "trees", "waves", "whales", "winds",
];

pub(crate) const VERBS: &[&str] = &[
    "agree", "appear", "arrive", "bake", "begin", "bloom", "bounce", "build", "call", "carry",
    "chase", "climb", "count", "cross", "dance", "dive", "draw", "dream", "drift", "drop", "fly",
    "float", "follow", "gather", "glide", "glow", "grow", "hide", "hum", "hurry", "join", "jump",
    "land", "laugh", "lead", "learn", "listen", "march", "meet", "move", "paint", "pause", "plan",
    "play", "rest", "return", "ring", "rise", "roam", "roll", "run", "sail", "shine", "sing",
    "sleep", "smile", "speak", "spin", "swim", "talk", "travel", "turn", "wait", "wander",
];
