"""What snapshots are measured with, and who is measured."""

# ruff: noqa: ISC004 - the cells below are texts of several lines
from typing import Any

#: Cells that make the variables, and that change a little of them; what is true of them once they are restored.
CASES = {
    "array": (
        "1 GiB of float64",
        "import numpy as np\na = np.random.default_rng(0).random(1 << 27)",
        "a[12345] = 1.0",
        "len(a) == 1 << 27 and a[12345] == 1.0",
    ),
    "frame": (
        "5 million rows, 8 mixed columns",
        "import numpy as np, pandas as pd\nr = np.random.default_rng(0); n = 5_000_000\n"
        "df = pd.DataFrame({'f1': r.random(n), 'f2': r.random(n), 'f3': r.random(n), 'i1': r.integers(0, 100, n),\n"
        "  'i2': r.integers(0, 10**9, n), 'c': pd.Categorical.from_codes(r.integers(0, 5, n), list('abcde')),\n"
        "  't': pd.Timestamp('2026') + pd.to_timedelta(np.arange(n), unit='s'),\n"
        "  's': pd.Series(np.array(['alpha', 'beta', 'gamma'])[r.integers(0, 3, n)], dtype='str')})\ndel r, n",
        "df.loc[17, 'f2'] = 0.5",
        "len(df) == 5_000_000 and df.loc[17, 'f2'] == 0.5",
    ),
    "objects": (
        "2 million small objects",
        "users = [{'id': i, 'name': f'user {i}', 'scores': [i, i * 0.5]} for i in range(1000, 334_000)]",
        "users[77]['scores'][1] = 1.5",
        "len(users) == 333_000 and users[77]['scores'][1] == 1.5",
    ),
    "many": (
        "300 ordinary variables",
        "import pandas as pd\nfor i in range(100):\n"
        "  globals()[f'n{i}'] = i; globals()[f'l{i}'] = list(range(50))\n"
        "  globals()[f'f{i}'] = pd.DataFrame({'a': range(20), 'b': ['x'] * 20})",
        "n5 = 99",
        "n5 == 99 and l99[49] == 49 and len(f99) == 20",
    ),
    "forest": (
        "a random forest, 100 trees",
        "from sklearn.ensemble import RandomForestRegressor\nfrom sklearn.datasets import make_regression\n"
        "X, y = make_regression(20_000, 10, random_state=0)\n"
        "model = RandomForestRegressor(100, random_state=0, n_jobs=2).fit(X, y)",
        "model.note = 'changed'",
        "model.note == 'changed' and len(model.estimators_) == 100",
    ),
}
CONTENDERS = ("pauseflow", "cloudpickle", "dill", "kishu", "elasticnotebook", "elasticnotebook-storing", "raw")
#: One-second steps, with a checkpoint after each.
STEPS = 50

Names = dict[str, Any]
