"""Which charsets a request's body may have: those of the web, as Python's codecs.

Python knows more codecs, and some take minutes for a small body: `punycode` is one. It also remembers every name that it
was ever asked for.
"""

from encodings.aliases import aliases

__all__ = ["codec_of"]

_CODECS = frozenset(
    {
        *("ascii", "utf_8", "utf_16", "utf_16_le", "utf_16_be"),
        *("latin_1", "mac_roman", "mac_cyrillic", "koi8_r", "koi8_u", "tis_620"),
        *(f"iso8859_{part}" for part in (*range(2, 12), *range(13, 17))),
        *("cp866", "cp874", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258"),
        *("gb2312", "gbk", "gb18030", "big5", "big5hkscs"),
        *("euc_jp", "iso2022_jp", "shift_jis", "cp932", "euc_kr", "cp949"),
    }
)
#: Names on the web that Python does not know.
_ALSO = {"windows_31j": "cp932", "windows_874": "cp874", "windows_949": "cp949", "x_sjis": "shift_jis"}


def codec_of(charset: str) -> str | None:
    """Name the codec of a charset; None if it is not one of the web's."""
    name = charset.strip().lower().replace("-", "_").replace(" ", "_")
    codec = _ALSO.get(name) or aliases.get(name, name)
    return codec if codec in _CODECS else None
