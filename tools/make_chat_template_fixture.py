#!/usr/bin/env python3
"""Makes tests/data/chat_template/cases.json: what Python's jinja2 makes of the templates in that folder for several
conversations, of many small templates that each look at one thing, and of random ones. Set up as Hugging Face's library
does it. Needs Debian's python3-jinja2; not needed to build or to test.

    tools/make_chat_template_fixture.py tests/data/chat_template

A case is {"template" or "file", "chat", "prompt", "tokens"} with "text", or with "raised" (the words of raise_exception)
or "error" (true: jinja2 refuses it, so must we).
"""
import json
import pathlib
import random
import sys
import warnings

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment


warnings.simplefilter("ignore")  # Python's, about what random expressions compile to


class Raised(Exception):
    pass


def raise_exception(words):
    raise Raised(words)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
environment.filters["tojson"] = tojson
environment.globals["raise_exception"] = raise_exception

IMAGE = {"type": "image"}


def text(words):
    return {"type": "text", "text": words}


def turns(*contents, system=None):
    first = [{"role": "system", "content": system}] if system is not None else []
    return first + [{"role": "assistant" if i % 2 else "user", "content": c} for i, c in enumerate(contents)]


CHATS = {
    "one": turns("Is there an effusion?"),
    "three": turns("  Where?\n", "On the left.\n\n", "\tHow large?  "),
    "system": turns("Read this.", "No.", "Why not?", system="You read chest films. "),
    "parts": turns([text("Compare "), IMAGE, IMAGE, text(" both.\n")], "Alike.", [text("Sure?")]),
    "system parts": turns([IMAGE, text("What is it?")], system=[text("Be short.")]),
    "assistant first": [{"role": "assistant", "content": "Hello"}],
    "twice": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
    "last answer": turns("Why?", "<think>\nLet me see.\n</think>\n\nBecause."),
    "tool": turns("Measure.", "Done.") + [{"role": "tool", "content": "12 \"mm\"\t\u00e9\x7f\x08\x0c\x01"}],
    "letters": turns("\u00a0\u2003Caf\u00e9 \u80ba \U0001fa7b\u3000\x1c", "<end_of_turn> {{ bos_token }} {% if %}", "\u00df"),
    "empty": [],
    "blank": turns("", ""),
}

# One thing each; they see the chat "three".
SMALL = r"""
{{ 1 + 2 * 3 - 4 }}
{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 // -2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 6 % 3 }} {{ -6 // -4 }}
{{ 1 // 0 }}
{{ 1 % 0 }}
{{ true + 1 }} {{ -true }} {{ 1 ~ 2 + 3 ~ 4 }}
{{ 1 ~ 2 ~ 'a' ~ none ~ true ~ undefined_name }}
{{ 'a' + 1 }}
{{ 'a' + 'b' ~ 'c' }} {{ 'a' ~ 'b' + 'c' }}
{{ 'a' * 3 }}
{{ undefined_name }}|{{ undefined_name is defined }}|{{ undefined_name is undefined }}
{{ undefined_name.x }}
{{ undefined_name + 'x' }}
{{ 'x' + undefined_name }}
{{ undefined_name | length }} {{ undefined_name | default('d') }} {{ '' | default('d') }} {{ '' | default('d', true) }}
{{ '' | default('d', boolean=true) }} {{ none | default('d') }} {{ none | d('d', true) }} {{ undefined_name | d | length }}
{{ undefined_name == undefined_other }} {{ undefined_name == none }} {{ not undefined_name }}
{{ messages[0].nothing }}|{{ messages[0]['nothing'] }}|{{ messages[9] }}|{{ messages[-1].role }}|{{ messages['x'] }}
{{ messages[0].nothing.more }}
{{ messages[9].role }}
{{ none.x }}|{{ none['x'] }}|{{ 'abc'['x'] }}|{{ 'abc'.role }}|{{ (1).x }}
{{ 'caf\u00e9\U0001' }}
{{ 'caf\u00e9!'[3] }} {{ 'caf\u00e9!'[-1] }} {{ 'caf\u00e9!'[9] }}| {{ 'caf\u00e9!' | length }} {{ 'caf\u00e9!'[1:4] }} {{ 'caf\u00e9!'[-3:] }} {{ 'abc'[:-1] }} {{ 'abc'[5:] }}|
{{ 'abc'[::-1] }}
{{ messages[::-1][0].content }} {{ messages[1:][0].content | trim }} {{ messages[:1] | length }} {{ messages[::2] | length }} {{ messages[5:] | length }} {{ messages[-1:0:-1] | length }} {{ messages[2::-2] | length }} {{ messages[none:none] | length }} {{ messages[0:99:7] | length }}
{{ messages[::0] }}
{{ messages['a':] }}
{{ undefined_name[1:] }}
{{ 'a' in 'abc' }} {{ 'x' in 'abc' }} {{ '' in 'abc' }} {{ 'a' not in ['a', 'b'] }} {{ 'role' in messages[0] }} {{ 'x' in messages[0] }} {{ 1 in [true] }} {{ 'a' in undefined_name }}
{{ 1 in 'abc' }}
{{ 'a' in none }}
{{ 'a' in 3 }}
{{ none in messages[0] }} {{ 1 in messages[0] }}
{{ 1 < 2 }} {{ 'a' < 'b' }} {{ 'a' >= 'a' }} {{ 'Z' < 'a' }} {{ '\u00e9' > 'z' }} {{ true > false }} {{ 2 <= 1 }} {{ 'ab' > 'abc' }}
{{ 1 < 'a' }}
{{ undefined_name < 1 }}
{{ none < 1 }}
{{ 1 < 2 < 3 }}
{{ 1 == true }} {{ 0 == false }} {{ 1 == '1' }} {{ none == false }} {{ [1, 'a'] == [1, 'a'] }} {{ {'a': 1, 'b': 2} == {'b': 2, 'a': 1} }} {{ {'a': 1} == {'a': 2} }} {{ [] == {} }} {{ 'a' != 'b' }} {{ [[1]] != [[1]] }}
{{ 1 and 0 }} {{ 0 or 'a' }} {{ '' or none }} {{ 'a' and 'b' or 'c' }} {{ not 1 == 2 }} {{ not not 1 }} {{ none and undefined_name.x }}
{{ 'a' if true else 'b' }} {{ 'a' if false }}| {{ 'a' if false else 'b' if false else 'c' }} {{ ('a' if 1) is defined }} {{ ('a' if 0) is defined }}
{{ 1 is number }} {{ true is number }} {{ 'a' is number }} {{ true is integer }} {{ 3 is integer }} {{ true is boolean }} {{ 1 is boolean }} {{ true is true }} {{ 1 is true }} {{ false is false }} {{ none is none }} {{ undefined_name is none }}
{{ 'a' is string }} {{ 1 is string }} {{ messages is string }} {{ messages is iterable }} {{ 'a' is iterable }} {{ 1 is iterable }} {{ none is iterable }} {{ undefined_name is iterable }} {{ messages[0] is mapping }} {{ messages is mapping }} {{ messages is sequence }} {{ messages[0] is sequence }} {{ 1 is sequence }} {{ undefined_name is sequence }} {{ 'a' is sequence }}
{{ 1 is odd }} {{ 1 is even }} {{ -3 is odd }} {{ 2 is even }}
{{ 'a' is odd }}
{{ 1 is eq 1 }} {{ 1 is equalto(2) }} {{ 'a' is in ['a'] }} {{ 'a' is not in ['a'] }} {{ 1 is ne 2 }} {{ 'a' is not string }} {{ 'a' is eq 'a' and 1 }}
{{ 1 is wrong }}
{{ 1 | wrong }}
{{ 1.5 }}
{{ 4 / 2 }}
{{ 2 ** 3 }}
{{ "it's" }} {{ 'say "a"' }} {{ 'it\'s' }} {{ "\"\\" }} {{ 'a\tb\nc' }} {{ 'a' 'b' "c" }} {{ '\x41\u00e9' }}
{{ '\q' }}
{{ '  a b \n' | trim }}|{{ '\u00a0\u3000x\u2003' | trim }}|{{ 'xxaxx' | trim('x') }}|{{ 'xyaxy' | trim(chars='yx') }}|{{ 12 | trim }}|{{ none | trim }}|{{ undefined_name | trim }}|
{{ 'abC' | upper }} {{ 'aBC' | lower }} {{ 'aBC' | capitalize }} {{ '' | capitalize }}| {{ true | upper }}
{{ 'caf\u00e9' | upper }}
{{ ['a', 1, none, true] | join(', ') }} {{ 'abc' | join('-') }} {{ [] | join('x') }}| {{ ['a', 'b'] | join }} {{ messages[0] | join(',') }} {{ ['a', 'b'] | join(d='+') }} {{ [undefined_name, 'a'] | join('-') }}
{{ none | join }}
{{ [] | first }}|{{ [1, 2] | first }}|{{ [1, 2] | last }}|{{ [] | last }}|{{ 'abc' | first }}|{{ 'abc' | last }}|{{ messages[0] | first }}|{{ messages[0] | last }}|{{ undefined_name | first }}
{{ 'abc' | list | length }} {{ messages[0] | list | join('.') }} {{ undefined_name | list | length }}
{{ 1 | list }}
{{ 12 | string | length }} {{ 'a' | string }} {{ none | string }}
{{ 'a-b-c' | replace('-', '+') }} {{ 'aaa' | replace('aa', 'b') }} {{ 'abc' | replace('x', 'y') }} {{ 121 | replace(1, 3) }}
{{ 'a-b-c' | replace('-', '') }} {{ 'a' | replace('a', 'aaaa') }}
{{ 'abc' | replace('', '-') }}
{{ messages | tojson }}
{{ {'a': [1, true, none, 'x"\\\n\t\r<&>\'/'], 'b': {}, 'c': []} | tojson }} {{ 'caf\u00e9\u2028' | tojson }} {{ -5 | tojson }}
{{ undefined_name | tojson }}
{{ messages | tojson(indent=2) }}
{{ messages | length }} {{ messages[0] | length }} {{ messages | count }} {{ '' | length }}
{{ 5 | length }}
{{ none | length }}
{% for k, v in messages[0].items() %}{{ k }}={{ v | trim }};{% endfor %}{% for k, v in messages[0] | items %}{{ k }}={{ v | trim }};{% endfor %}{% for k in messages[0] %}{{ k }};{% endfor %}{% for k in messages[0].keys() %}{{ k }};{% endfor %}{% for v in messages[0].values() %}{{ v | trim }};{% endfor %}
{% for k, v in undefined_name | items %}{{ k }}{% endfor %}|{% for k, v in [['a', 'b'], 'cd'] %}{{ k }}{{ v }}{% endfor %}
{% for k, v in [['a', 'b', 'c']] %}{{ k }}{% endfor %}
{% for k, v in [1] %}{{ k }}{% endfor %}
{{ messages[0].get('role') }} {{ messages[0].get('x') }} {{ messages[0].get('x', 'y') }} {{ messages[0].get('role', 'y') }}
{{ ' a '.strip() }}|{{ ' a '.lstrip() }}|{{ ' a '.rstrip() }}|{{ 'xax'.strip('x') }}|{{ 'xax'.lstrip('x') }}|{{ 'xax'.rstrip('x') }}|{{ 'ab'.upper() }}{{ 'AB'.lower() }}{{ 'aB'.capitalize() }}|{{ 'aXb'.replace('X', '--') }}|{{ 'abc'.startswith('ab') }}{{ 'abc'.endswith('bc') }}{{ 'abc'.startswith('bc') }}{{ 'abc'.endswith('') }}{{ 'a'.startswith('aa') }}
{{ 'a,b,,c'.split(',') | join('|') }} {{ 'abc'.split('x') | length }} {{ ',a,'.split(',') | join('|') }} {{ ''.split(',') | length }} {{ 'a</think>b'.split('</think>')[-1] }}
{{ 'a b'.split() }}
{{ 'a'.split('') }}
{{ 'a'.unknown() }}
{{ messages.strip() }}
{{ 1.strip() }}
{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join('|') }} {{ messages | rejectattr('role', 'eq', 'user') | list | length }} {{ messages | selectattr('nothing') | list | length }} {{ messages | selectattr('nothing', 'undefined') | list | length }} {{ ['a', '', 'b'] | select | join }} {{ ['a', '', 'b'] | reject | list | length }} {{ [1, 2, 3] | select('odd') | join(',') }} {{ ['a', 'b'] | reject('equalto', 'a') | first }} {{ ['a', 'b'] | reject('in', ['a']) | list | first }}
{{ [1, 2] | select('wrong') | list }}
{% for m in messages | selectattr('role', 'equalto', 'user') %}{{ loop.index }}{% endfor %}
{{ (messages | selectattr('role', 'equalto', 'user')) | length }}
{{ 'yes' if messages | selectattr('role', 'equalto', 'nobody') }}
{{ messages | map(attribute='role') | list | tojson }}
{{ [1, 2] | join(',') ~ 'x' }} {{ -1 | string }} {{ 'a' ~ 'b' | upper }} {{ ('a' ~ 'b') | upper }} {{ 'a' | upper ~ 'b' }} {{ 1 + 2 | string }}
{{ not 'a' | length == 1 }} {{ 'a' is defined and 'b' is not defined }} {{ messages | length - 1 }} {{ messages | length == 3 }}
{% for x in [1, 2, 3] %}{{ loop.first }},{{ loop.last }},{{ loop.index }},{{ loop.index0 }},{{ loop.revindex }},{{ loop.revindex0 }},{{ loop.length }},{{ loop.previtem }},{{ loop.nextitem }};{% endfor %}
{% for x in [1, 2, 3, 4] if x % 2 == 0 %}{{ x }}:{{ loop.index }}/{{ loop.length }}{{ loop.last }} {% else %}none{% endfor %}
{% for x in [1, 3] if x % 2 == 0 %}{{ x }}{% else %}none{% endfor %}
{% for x in [] %}{{ x }}{% else %}nothing{% endfor %}{{ loop is defined }}
{% for x in undefined_name %}{{ x }}{% endfor %}|{% for x in 'caf\u00e9' %}[{{ x }}]{% endfor %}
{% for x in none %}{{ x }}{% endfor %}
{% for x in 3 %}{{ x }}{% endfor %}
{% for x in [1, 2] %}{% for y in [1, 2] %}{{ x }}{{ y }}{{ loop.index }} {% endfor %}{{ loop.index }};{% endfor %}
{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = i + 10 %}{{ x }} {% endfor %}{{ x }}
{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}
{% for i in [1, 2] %}{% if i == 1 %}{% set y = 'seen' %}{% endif %}{{ y }}|{% endfor %}{{ y }}
{% for x in [1, 2] %}{% endfor %}{{ x }}|{{ i }}
{% set ns = namespace(a=1, b='x') %}{% for i in [1, 2, 3] %}{% set ns.a = ns.a + i %}{% set ns.c = i %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.c }}{{ ns.d }}|{{ ns.d is defined }}
{% set d = {'a': 1} %}{% set d.a = 2 %}{{ d.a }}
{% set ns.a = 1 %}
{% set x = messages %}{% set messages = [] %}{{ x | length }}{{ messages | length }}
{% if false %}a{% elif false %}b{% elif true %}c{% else %}d{% endif %}{% if 0 %}a{% elif '' %}b{% else %}d{% endif %}{% if [] %}x{% endif %}{% if {} %}x{% endif %}{% if messages %}y{% endif %}
{% if 1 %}{% if 0 %}a{% else %}b{% endif %}{% else %}c{% endif %}
{% if %}a{% endif %}
{% if 1 %}a
{% for x in [1] %}a
{% for x in [1] %}a{% endif %}
a{% endif %}
a{% else %}b
{% if 1 %}a{% else %}b{% else %}c{% endif %}
{% for loop in [1] %}{% endfor %}
{% unknown %}
{% %}
{{ }}
{{ 1
{% set x = 1
{# never ends
{{ 'never ends }}
{{ (1 }}
{{ [1, 2 }}
{{ 1) }}
{{ {'a': } }}
{{ {'a': {'b': {'c': 1}}}.a.b.c }} {{ {'a': {}} | length }}
{{ {'a': 1, 'a': 2}.a }} {{ [1, 2,][1] }} {{ {'a': 1,}.a }} {{ [[1, 2], [3]][0][1] }}
{{ a b }}
{{ 1 2 }}
{{ 'a' if }}
{{ . }}
{{ a. }}
{{ a[ }}
{{ a | }}
{{ a is }}
{{ @ }}
{{ a ? b }}
{{ not }}
{{ 1 + }}
{{ raise_exception('stop') }}
{% if messages | length > 2 %}{{ raise_exception('too ' ~ 'many: ' ~ messages | length) }}{% endif %}
{{ unknown_function(1) }}
{{ 'a'.upper().lower() }}{{ messages[0].role.upper() }}{{ messages[0]['role'].upper() | lower }}
{{ 9223372036854775807 + 1 }}
{{ 99999999999999999999 }}
{{ messages }}
{{ messages[0] }}
{{ namespace(a=1) }}
a {#- comment -#} b {# comment #}
{# a {{ b }} {% c #}d
{#-#}x{#+ y +#}
{{-1}}{{- 1 -}} {{ -1 }} {{+ 1}}
{%set x=1%}{%-if x==1-%} a {%-endif-%}{{x}}
{%+ set x = 1 %}  {%+ if x +%} a {%+ endif +%}
{{ '{{' }}{{ '%}' }}{{ "}}" }}{% set a = '%}' %}{{ a }}
{ { } } {% raw %}{{ x }}{% endraw %}
{% set x %}block{% endset %}{{ x }}
{% macro f(x) %}{{ x }}{% endmacro %}{{ f(1) }}
{% for x in [1, 2] recursive %}{{ x }}{% endfor %}
{% for x in [1, 2] %}{% break %}{% endfor %}
{% set a, b = 1, 2 %}{{ a }}
{{ (1, 2)[0] }}
{{ messages.0.role }}
{{ range(3) | list | length }}
{{ x.__class__ }}
{{ messages.append(1) }}
{{ 'a' | default(value='b') }}
{{ 'a' | trim(1, 2) }}
{{ 'a' | trim(x=1) }}
{{ ['b', 'a'] | sort | first }}
{{ 01 }}
{{ 1_000 }}
{{ 0x10 }}
{{ True }}{{ None }}{{ False is false }}
{{ true == True }}{{ messages[true].role }}
{{ (messages | length) }}{{ ((1)) }}
{{ messages [0] . role }}
""".strip("\n").split("\n") + ["{{ messages\n [0]\n['role'] }}\n\n", "\r\na\rb\n", "", "\n", "\n\n"]
def random_spaces(draw):
    """Tags, comments and text with all kinds of white space between, before and behind them."""
    gap = lambda: "".join(draw.choice(["", " ", "\n", "\t", "  ", "\r\n", "\u00a0", "x"]) for _ in range(draw.randrange(4)))
    sign = lambda: draw.choice(["", "", "-", "+"])
    minus = lambda: draw.choice(["", "", "-"])
    out, open_ifs = gap(), 0
    for _ in range(draw.randrange(1, 8)):
        kind = draw.randrange(5)
        if kind == 0:
            out += "{{" + minus() + " 'p' " + minus() + "}}"
        elif kind == 1:
            out += "{#" + sign() + " c " + sign() + "#}"
        elif kind == 2:
            out += "{%" + sign() + " set a = 1 " + sign() + "%}"
        elif kind == 3 or not open_ifs:
            out += "{%" + sign() + " if true " + sign() + "%}"
            open_ifs += 1
        else:
            out += "{%" + sign() + " endif " + sign() + "%}"
            open_ifs -= 1
        out += gap()
    return out + "{% endif %}" * open_ifs + gap()


def random_expression(draw, depth=0):
    e = lambda: random_expression(draw, depth + 1)
    if depth > 3 or draw.random() < 0.2:
        return draw.choice(["1", "0", "-2", "7", "'a'", "'ab '", "''", "none", "true", "false", "nobody", "messages",
                            "messages[0]", "messages[0].role", "[]", "['a', 'b']", "{'a': 1}", "messages[0].content"])
    return draw.choice([
        lambda: e() + " " + draw.choice(["+", "-", "~", "%", "//", "*", "~", "+"]) + " " + e(),
        lambda: e() + " " + draw.choice(["==", "!=", "<", ">=", "in", "not in", "and", "or"]) + " " + e(),
        lambda: "(" + e() + ")",
        lambda: "(not " + e() + ")",
        lambda: e() + " if " + e() + " else " + e(),
        lambda: e() + " | " + draw.choice(["trim", "length", "upper", "join('-')", "default('d')", "default('d', true)",
                                           "tojson", "first", "last", "string", "list", "replace('a', 'bb')"]),
        lambda: e() + " is " + draw.choice(["", "not "]) + draw.choice(
            ["defined", "none", "string", "iterable", "mapping", "number", "odd", "true", "sequence", "eq 1"]),
        lambda: "[" + e() + ", " + e() + "]" + draw.choice(["", "[0]", "[1:]", "[-1]"]),
        lambda: "{'k': " + e() + "}" + draw.choice(["", ".k", "['k']"]),
        lambda: "(" + e() + ")" + draw.choice(["[0]", "[1:]", ".role", "['role']", "[-1]", "[:1]"]),
    ])()


def run(case, source):
    chat = CHATS[case["chat"]]
    tokens = {"bos_token": "<bos>", "eos_token": "<eos>"} if case["tokens"] else {}
    try:
        case["text"] = environment.from_string(source).render(
            messages=chat, tools=None, documents=None, add_generation_prompt=case["prompt"], **tokens)
    except Raised as e:
        case["raised"] = str(e)
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, AttributeError, LookupError):
        case["error"] = True
    return case


def main(folder):
    cases = []
    for path in sorted(folder.glob("*.jinja")):
        for name in CHATS:
            for prompt in (False, True):
                cases.append(run({"file": path.name, "chat": name, "prompt": prompt, "tokens": True}, path.read_text()))
    for source in SMALL:
        cases.append(run({"template": source, "chat": "three", "prompt": False, "tokens": False}, source))
    draw = random.Random(4)
    for make, count in ((random_spaces, 300), (random_expression, 500)):
        for _ in range(count):
            source = make(draw)
            if make is random_expression:
                source = "{{ " + source + " }}"
            cases.append(run({"template": source, "chat": "three", "prompt": False, "tokens": False}, source))
    with open(folder / "cases.json", "w", encoding="utf-8") as f:
        json.dump({"chats": CHATS, "cases": cases}, f, ensure_ascii=True, separators=(",", ":"))
        f.write("\n")
    print(len(cases), "cases,", sum("text" in c for c in cases), "with a text")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
