#!/usr/bin/python3
"""Writes countries_table.c from two lists of facts: un_members.csv (names in the six official languages) and
country-codes.csv (datasets/country-codes, ODC-PDDL-1.0), and from the system's zone.tab (public domain).

usage: countries.py un_members.csv country-codes.csv zone.tab > countries_table.c
"""
import csv
import re
import sys
import unicodedata

# Names in use that the lists lack, and the two codes that the European Union writes differently.
ALIASES = {
    "GB": ["UK", "United Kingdom", "Great Britain", "Britain", "Royaume-Uni", "Reino Unido", "Великобритания",
           "英国", "بريطانيا"],
    "GR": ["EL", "Greece", "Hellas"], "US": ["USA", "United States", "États-Unis", "Estados Unidos", "США", "美国"],
    "RU": ["Russia", "Russie", "Rusia", "Россия"], "KR": ["South Korea", "Corée du Sud", "Corea del Sur"],
    "KP": ["North Korea"], "IR": ["Iran"], "SY": ["Syria"], "LA": ["Laos"], "VN": ["Vietnam"], "BO": ["Bolivia"],
    "VE": ["Venezuela"], "TZ": ["Tanzania"], "MD": ["Moldova"], "MK": ["Macedonia"], "CZ": ["Czech Republic"],
    "CI": ["Ivory Coast"], "CV": ["Cape Verde"], "SZ": ["Swaziland"], "MM": ["Burma"], "TL": ["East Timor"],
    "TR": ["Turkey"], "NL": ["Holland", "The Netherlands"], "PS": ["Palestine"], "VA": ["Vatican", "Holy See"],
    "CD": ["DR Congo", "Congo-Kinshasa"], "CG": ["Congo-Brazzaville"], "BN": ["Brunei"], "FM": ["Micronesia"],
    "HK": ["Hong Kong"], "MO": ["Macao", "Macau"],
}
# Names of which people mean one of several, and mostly do not notice that there are others.
SHARED = {
    "CD CG": ["Congo", "The Congo", "le Congo", "el Congo", "Конго", "刚果", "الكونغو"],
    "KP KR": ["Korea", "Corée", "Corea", "Корея", "كوريا"],
    "VG VI": ["Virgin Islands", "The Virgin Islands", "îles Vierges", "les îles Vierges", "islas Vírgenes",
              "las Islas Vírgenes", "Виргинские острова", "维尔京群岛", "جزر فرجن"],
}
# Of countries with several zones, those where one of them is meant unless something else is said.
MAIN_ZONES = {"DE": "Europe/Berlin", "ES": "Europe/Madrid", "PT": "Europe/Lisbon", "CN": "Asia/Shanghai",
              "NZ": "Pacific/Auckland", "CY": "Asia/Nicosia", "EC": "America/Guayaquil", "CL": "America/Santiago",
              "AR": "America/Argentina/Buenos_Aires", "UZ": "Asia/Tashkent", "MY": "Asia/Kuala_Lumpur",
              "UA": "Europe/Kyiv"}
ARTICLE = re.compile(r"^(the|la|le|les|el|los|las|l['’])\s*", re.I)


def key(name):
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold())
    return "".join(c for c in text if unicodedata.category(c)[0] in "LN")


def spellings(name):
    """The name itself, without what stands in parentheses, and without its article."""
    bare = re.sub(r"\s*\(.*?\)", "", name).strip()
    for form in (name, bare):
        yield form
        yield ARTICLE.sub("", form)


def c_string(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def zone_of(code, zones):
    known = zones.get(code, [])
    return known[0] if len(known) == 1 else MAIN_ZONES.get(code, "")


def main():
    members = {row["iso2"]: row for row in csv.DictReader(open(sys.argv[1], encoding="utf-8"))}
    countries = {row["ISO3166-1-Alpha-2"]: row for row in csv.DictReader(open(sys.argv[2], encoding="utf-8"))
                 if row["ISO3166-1-Alpha-2"]}
    zones = {}
    for line in open(sys.argv[3], encoding="utf-8"):
        if not line.startswith("#"):
            code, _, zone = line.split("\t")[:3]
            zones.setdefault(code, []).append(zone.strip())
    keys, short = {}, {}
    for code, row in sorted(countries.items()):
        member = members.get(code, {})
        names = [v for k, v in member.items() if k.startswith(("short_", "formal_"))]
        names += [v for k, v in row.items()
                  if k.startswith(("official_name_", "UNTERM ")) or k == "CLDR display name"]
        # A member's name wins over the same name of a territory.
        for name in names + ALIASES.get(code, []) + [code, row["ISO3166-1-Alpha-3"]]:
            for form in spellings(name or ""):
                holders = keys.get(key(form), [])
                known = any(holder in members for holder in holders)
                if key(form) and code not in holders and not known:
                    keys[key(form)] = [code] if member else holders + [code]
        for name in ALIASES.get(code, []):
            keys[key(name)] = [code]
        short[code] = next(n for n in (row["CLDR display name"], row["official_name_en"]) if n)
    short.update(GB="United Kingdom", US="United States")
    for codes, names in SHARED.items():
        keys.update({key(name): codes.split() for name in names})
    for code, row in countries.items():
        keys[key(code)] = [code]
    print("/* Made by countries.py; not edited by hand. */")
    print('#include "clients/cli/countries_table.h"\n\n/* clang-format off */')
    print("const struct country country_table[] = {")
    for code, row in sorted(countries.items()):
        dial = re.sub(r"\D", "", row["Dial"].split(",")[0])
        if row["Dial"].startswith("1-") or dial.startswith("1"):
            dial = "1"
        print("\t{%s, %s, %s, %s, %s}," % tuple(c_string(t) for t in (
            code, row["ISO3166-1-Alpha-3"], dial, zone_of(code, zones), short[code])))
    print("};\nconst size_t country_count = sizeof country_table / sizeof country_table[0];\n")
    print("const struct country_key country_keys[] = {")
    for name in sorted(keys, key=lambda k: k.encode()):
        for code in sorted(keys[name]):
            print("\t{%s, %s}," % (c_string(name), c_string(code)))
    print("};\nconst size_t country_key_count = sizeof country_keys / sizeof country_keys[0];")


main()
