/** Templates of our own that use everything that Jinja and Python's values offer to chat templates. */

export const VARIABLES = {
  s: "Hello, World",
  odd: " \t\u00a0tab \"two\" 'one' é 🎈 漢\n\u200b--\x07",
  n: 7,
  neg: -3,
  f: 2.5,
  big: 12345678901234567890n,
  yes: true,
  no: false,
  nil: null,
  l: [3, 1, 2],
  words: ["pear", "Apple", "fig", "apple"],
  d: { b: 1, a: "x", items: [1], "two words": null },
  nested: [
    { name: "ann", age: 30, tags: ["x", "y"] },
    { name: "Bob", age: 25 },
    { name: "cid", age: 30, tags: [] },
  ],
  empty: { list: [], dict: {}, text: "" },
};

const literals = String.raw`
{{ 1 }} {{ 1.0 }} {{ 1e3 }} {{ 1.5e-7 }} {{ 1e16 }} {{ 123456789012345.6 }} {{ 1_000 }} {{ 0x1F }} {{ 0b101 }} {{ 0o17 }}
{{ "a" 'b' }} {{ 'it\'s' }} {{ "t\tn\nx" }} {{ '\x41\u00e9\U0001F388\101\q\\' }} {{ "é🎈" }}
{{ true }} {{ True }} {{ false }} {{ none }} {{ None }} {{ [] }} {{ {} }} {{ () }} {{ (1,) }} {{ (1, 2) }} {{ 1, 2 }}
{{ [1, 2.0, 'x', none, true, [1], {'a': (1,)}] }} {{ {'k': 1, 2: 'v', none: 3, true: 4, 1.5: 5} }} {{ [1, 2,] }} {{ {'a': 1,} }}
{{ d }} {{ nested }} {{ odd }} {{ [odd] }} {{ ["it's", 'say "x"', 'both \' and "', '\\', '\n\r\t\x00\x7f\x85\u2028'] }}
{{ big }} {{ -big }} {{ big * big }} {{ big // 7 }} {{ big % 7 }} {{ big + 1 - big }} {{ 2 ** 100 }} {{ 9007199254740993 + 0 }} {{ 9007199254740991 * 3 }}
{{ 0.1 + 0.2 }} {{ 1 / 3 }} {{ 100.0 }} {{ 1e22 }} {{ 1.0e-5 }} {{ 0.0001 }} {{ -0.0 }} {{ 1e308 * 10 }} {{ -1e308 * 10 }} {{ 123456.789e3 }}
{{ 7 / 2 }} {{ 6 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 // -2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 7 % 2.5 }} {{ 2 ** 3 ** 2 }} {{ 2 ** -1 }} {{ -2 ** 2 }} {{ 2.0 ** 3 }}
{{ 1 + 2 * 3 - 4 / 2 }} {{ (1 + 2) * 3 }} {{ 'a' ~ 1 ~ none ~ 2.0 ~ true ~ [1] }} {{ 1 ~ 2 + 3 }} {{ 'a' * 3 }} {{ 3 * 'ab' }} {{ [1, 2] * 2 }} {{ (1,) * 3 }} {{ 'a' * -1 }} {{ [1] + [2] }} {{ (1,) + (2,) }}
{{ true + 1 }} {{ true * 3 }} {{ -true }} {{ +n }} {{ -n|abs }} {{ -n }} {{ - - n }} {{ not n }} {{ not not n }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 == true }} {{ 'a' < 'b' }} {{ 'B' < 'a' }} {{ [1, 2] < [1, 3] }} {{ (1, 'a') < (1, 'b') }} {{ '\U0001F388' < '\uFFFF' }} {{ 1 != 2 }} {{ [1] == [1.0] }} {{ {'a': 1} == {'a': 1.0} }} {{ (1,) == [1] }} {{ 'a' == 'a' }} {{ none == false }} {{ 0 == false }}
{{ 'ell' in s }} {{ 'x' not in s }} {{ 3 in l }} {{ 'a' in d }} {{ 'z' in d }} {{ none in [none] }} {{ 2 in range(3) }} {{ '' in '' }} {{ 1.0 in [1] }}
{{ 0 or 'x' }} {{ '' or none }} {{ 1 and 2 }} {{ 0 and 1 }} {{ [] or {} }} {{ n and s or f }} {{ not n == 7 }}
{{ 'yes' if yes else 'no' }} {{ 'yes' if no }} {{ 'a' if no else 'b' if no else 'c' }} {{ ('x' if no) is defined }} {{ [1 if yes else 2, 3] }}
{{ s[0] }} {{ s[-1] }} {{ s[1:4] }} {{ s[::-1] }} {{ s[::2] }} {{ s[-3:] }} {{ s[:-3] }} {{ s[10:2:-3] }} {{ s[99] }} {{ s[5:99] }} {{ s[-99:2] }} {{ odd[9] }} {{ odd[-4:] }} {{ odd[::-1] }}
{{ l[0] }} {{ l[-1] }} {{ l[::-1] }} {{ l[1:] }} {{ l[:1] }} {{ l[9] }} {{ l[-9] }} {{ (1, 2, 3)[1:] }} {{ range(10)[2:8:3]|list }} {{ range(10)[-1] }} {{ l['x'] }} {{ l.0 }} {{ l[true] }} {{ l[1.0] }} {{ l[none:2] }}
{{ d.a }} {{ d['a'] }} {{ d['two words'] }} {{ d.missing }} {{ d['missing'] }} {{ d.items is callable }} {{ d['items'] }} {{ d.get('items') }} {{ d[0] }} {{ {1: 'x'}[1] }} {{ {1: 'x'}[true] }} {{ {1: 'x'}[1.0] }} {{ {(1, 2): 'x'}[(1, 2)] }} {{ {(1, 2): 'x'}[1, 2] }}
{{ d[1:2] }}
{{ nested[0].tags[1] }} {{ nested[1].tags }} {{ nested.0.name }} {{ nested[0]['age'] + 1 }}
{{ missing }}|{{ missing is defined }}|{{ missing or 'x' }}|{{ missing|default('y') }}|{{ missing == missing }}|{{ missing ~ 'z' }}|{{ [missing] }}|{{ missing|list }}|{{ missing|length }}|{{ 1 in missing }}|{{ missing|string|length }}|{{ not missing }}|{% for x in missing %}{{ x }}{% endfor %}
{{ 1 if 2 else }}
{{ missing.x }}
{{ missing['x'] }}
{{ missing() }}
{{ missing + 1 }}
{{ 1 + missing }}
{{ missing < 1 }}
{{ -missing }}
{{ missing|int }}
{{ missing|tojson }}
{{ 'x' + 1 }}
{{ 1 + 'x' }}
{{ [] + () }}
{{ 1 < 'x' }}
{{ none < 1 }}
{{ {} < {} }}
{{ 1 in 'x' }}
{{ 1 in 5 }}
{{ [] in {} }}
{{ 1 / 0 }}
{{ 1 % 0 }}
{{ 1.0 // 0 }}
{{ 0 ** -1 }}
{{ 'x' * 'y' }}
{{ 'x' - 'y' }}
{{ -'x' }}
{{ +'x' }}
{{ s() }}
{{ d.a() }}
{{ l.append(1) }}
{{ l.append }}|{{ d.update }}|{{ d.pop is defined }}
{{ d.update({'a': 1}) }}
{{ s.__class__ }}|{{ ''.__class__.__mro__ }}
{{ s.nothing() }}
{{ {[]: 1} }}
{{ none.x }}
{{ none.x.y }}
{{ none() }}
{{ l[::0] }}
{{ 5[0] }}|{{ none[0] }}
{{ n[1:2] }}
{{ nil[:1] }}
{{ 1 is 2 }}
{{ [1, 2 }}
{{ (1 }}
{{ {'a' 1} }}
{{ 'abc }}
{{ a b }}
{{ }}
{{ 1 + }}
{{ .5 }}
{{ 1.. }}
{{ a..b }}
{{ 1 if }}
{{ not }}
{{ x = 1 }}
{{ 007 }}
{{ ~ 'x' }}
{{ a ? b }}
{{ a $ b }}
{% if %}x{% endif %}
{% if 1 %}
{% endif %}
{% for x %}{% endfor %}
{% for x in %}{% endfor %}
{% for x in l %}
{% for 1 in l %}{% endfor %}
{% for loop in l %}{% endfor %}
{% for true in l %}{% endfor %}
{% set 1 = 2 %}
{% set none = 2 %}
{% set x %}
{% nothing %}
{% break %}
{% macro %}{% endmacro %}
{% macro m(a=1, b) %}{% endmacro %}
{% raw %}
{# open
{% do l %}
{% include 'x' %}
{% import 'x' as y %}
{% from 'x' import y %}
{% extends 'x' %}
{% call 1 %}{% endcall %}
{% elif 1 %}
{% if 1 %}{% else %}{% else %}{% endif %}
{{ 1 | nothing }}
{{ 1 is nothing }}
{% if no %}{{ 1 | nothing }}{{ 1 is nothing }}{% endif %}ok
{% if yes %}{{ 1 | nothing }}{% endif %}
{% if no %}{% for x in l %}{{ x | nothing }}{% endfor %}{% endif %}
{{ 1 if yes else 2 | nothing }}
{{ (1 | nothing) if no else 3 }}
{% macro m() %}{{ 1 | nothing }}{% endmacro %}
`;

const methods = String.raw`
{{ odd.strip() }}|{{ odd.lstrip() }}|{{ odd.rstrip() }}|{{ '--a--'.strip('-') }}|{{ '\n\n  x'.lstrip('\n') }}|{{ 'xyzzy'.rstrip('yz') }}|{{ '\u200b x\ufeff'.strip() }}|{{ '\x1c\x85a\x1f'.strip() }}|{{ 'aé🎈é'.strip('é🎈') }}|{{ 'a'.strip(none) }}
{{ 'a,b,,c'.split(',') }} {{ ' a  b c '.split() }} {{ 'a b c'.split(' ', 1) }} {{ ' a  b  c '.split(none, 1) }} {{ 'a b c'.rsplit(' ', 1) }} {{ ' a  b  c '.rsplit(none, 1) }} {{ 'abc'.split('x') }} {{ ''.split() }} {{ ''.split(',') }} {{ 'a,b,c'.split(sep=',', maxsplit=1) }} {{ ' a b'.split(none, 0) }} {{ 'a b '.rsplit(none, 0) }} {{ 'aXXb'.split('XX')[-1] }}
{{ 'a\nb\r\nc\x0bd\u2028e\n'.splitlines() }} {{ 'a\nb\n'.splitlines(true) }} {{ ''.splitlines() }} {{ '\n'.splitlines() }}
{{ 'a-b-c'.partition('-') }} {{ 'a-b-c'.rpartition('-') }} {{ 'abc'.partition('x') }} {{ 'abc'.rpartition('x') }}
{{ 'aXbX'.replace('X', '-') }} {{ 'aXbX'.replace('X', '-', 1) }} {{ 'abc'.replace('', '.') }} {{ 'abc'.replace('', '.', 2) }} {{ 'aaa'.replace('aa', 'b') }} {{ 'é🎈'.replace('', '.') }} {{ 'abc'.replace('b', '$&') }}
{{ s.find('o') }} {{ s.find('o', 5) }} {{ s.find('z') }} {{ s.rfind('o') }} {{ s.index('W') }} {{ s.rindex('l') }} {{ s.count('l') }} {{ s.count('') }} {{ s.count('l', 3, 9) }} {{ '🎈🎈a'.find('a') }} {{ 'aaa'.count('aa') }} {{ s.find('', 99) }} {{ s.find('', 12) }} {{ s.find('o', -3) }} {{ s.rfind('o', 0, 5) }}
{{ s.startswith('Hell') }} {{ s.startswith(('x', 'H')) }} {{ s.startswith('W', 7) }} {{ s.endswith('ld') }} {{ s.endswith('Hello', 0, 5) }} {{ s.endswith(('a', 'd')) }} {{ s.startswith('') }} {{ s.startswith(()) }}
{{ s.removeprefix('Hello') }} {{ s.removesuffix('World') }} {{ s.removesuffix('') }} {{ s.removeprefix('x') }}
{{ s.upper() }} {{ s.lower() }} {{ s.swapcase() }} {{ s.title() }} {{ s.capitalize() }} {{ s.casefold() }} {{ 'straße'.upper() }} {{ 'ΟΔΟΣ'.lower() }} {{ 'İ'.lower()|length }} {{ "they're bill's".title() }} {{ 'ǆ ß ﬁx'.title() }} {{ 'ǆx'.capitalize() }} {{ 'ÉCOLE'.capitalize() }} {{ 'straße'.casefold() }} {{ 'ab1cd'.title() }}
{{ 'abc'.isalpha() }} {{ 'ab1'.isalnum() }} {{ '12'.isdigit() }} {{ '²'.isdigit() }} {{ '½'.isnumeric() }} {{ '12'.isdecimal() }} {{ ' \t'.isspace() }} {{ ''.isspace() }} {{ 'ab'.islower() }} {{ 'AB1'.isupper() }} {{ '12'.isupper() }} {{ 'Ab Cd'.istitle() }} {{ 'é'.isascii() }} {{ 'a_1'.isidentifier() }} {{ '1a'.isidentifier() }} {{ 'a b'.isprintable() }} {{ 'a\n'.isprintable() }} {{ ''.isalpha() }} {{ '漢'.isalpha() }} {{ '一'.isnumeric() }}
{{ 'ab'.center(7, '*') }} {{ 'abc'.center(6, '*') }} {{ 'ab'.ljust(5, '.') }} {{ 'ab'.rjust(5) }} {{ '-5'.zfill(5) }} {{ 'x'.zfill(3) }} {{ '🎈'.center(4, '-') }} {{ 'abc'.ljust(1) }} {{ 'a\tb'.expandtabs() }} {{ 'a\tb\n\tc'.expandtabs(4) }}
{{ ', '.join(words) }} {{ ''.join('abc') }} {{ '-'.join(d) }} {{ '-'.join(('a',)) }} {{ ''.join([]) }}
{{ 'abc'.translate({97: 'x', 98: none, 99: 121}) }} {{ 'abc'.translate('x'.maketrans('ab', 'yz', 'c')) }}
{{ '{} {}'.format('a', 1) }} {{ '{1}{0}'.format('a', 'b') }} {{ '{x}'.format(x=3) }} {{ '{0.a} {0[b]} {0[two words]}'.format(d) }} {{ '{:>5}|{:<5}|{:^5}|{:*^6}'.format('a', 'b', 'c', 'd') }} {{ '{:05d} {:+d} {: d} {:,} {:_}'.format(42, 42, 42, 1234567, 1234567) }} {{ '{:.2f} {:8.3f} {:e} {:g} {:g} {:%} {:.1%}'.format(3.14159, 2.5, 12345.678, 0.00001, 1e10, 0.5, 0.256) }} {{ '{:x} {:X} {:#x} {:b} {:o} {:c}'.format(255, 255, 255, 5, 8, 65) }} {{ '{!r} {!s}'.format('a', 'a') }} {{ '{{}} {}'.format(1) }} {{ '{:{}}'.format('x', 4) }} {{ '{:.3}'.format('abcdef') }} {{ '{}'.format(none) }} {{ '{} {}'.format(1.0, [1]) }} {{ '{:10}|'.format(5) }} {{ '{:08.2f}'.format(-3.14159) }} {{ '{:=+6d}'.format(5) }} {{ '{:.3}'.format(1234.5) }} {{ '{a}'.format_map({'a': 1}) }} {{ '{:d}'.format(true) }} {{ '{:,.2f}'.format(1234567.891) }}
{{ '%s %d %5.2f|%-5s|%05d|%x|%%|%r' % ('a', 3, 2.5, 'b', 42, 255, 'c') }} {{ '%s' % 1.0 }} {{ '%(a)s %(b)d' % {'a': 1, 'b': 2} }} {{ '%s' % none }} {{ '%s' % [1] }} {{ '%d' % 3.7 }} {{ '%c%c' % (65, 'b') }} {{ '%e' % 12345.678 }} {{ '%g' % 0.0001 }} {{ '%+d' % 5 }} {{ '%.3s' % 'abcdef' }} {{ '%i' % 3 }} {{ '%5s|' % 'ab' }} {{ '%o' % 8 }} {{ '%#x' % 255 }} {{ '%s' % (1,) }} {{ 'x' % () }} {{ '%-5d|' % 3 }} {{ '% d' % 3 }} {{ '%*d' % (5, 3) }}
{{ '%s %s' % 'a' }}
{{ '%s' % (1, 2) }}
{{ 'x' % 1 }}
{{ '%d' % 'x' }}
{{ '%y' % 1 }}
{{ '%(z)s' % {} }}
{{ '{}'.format() }}
{{ '{x}'.format() }}
{{ '{'.format(1) }}
{{ '}'.format(1) }}
{{ '{:d}'.format('x') }}
{{ '{:s}'.format(1) }}
{{ '{:.2f}'.format('x') }}
{{ 'a'.join([1]) }}
{{ 'a'.split('') }}
{{ s.index('z') }}
{{ s.strip(1) }}
{{ s.replace('a') }}
{{ s.upper(1) }}
{{ s.center('x') }}
{{ s.startswith(1) }}
{{ s.find(none) }}
{{ d.keys() }} {{ d.values() }} {{ d.items() }} {{ d.items()|list }} {{ d.get('a') }} {{ d.get('z') }} {{ d.get('z', 5) }} {{ d.get('two words', 5) }} {{ d.copy() == d }} {{ dict(d, c=3) }} {{ dict([('x', 1)]) }} {{ dict(a=1) }} {{ dict() }} {{ dict.fromkeys(['a', 'b'], 0) }} {{ d.keys()|list }} {{ d.items()|length }} {{ d.keys()[0] }} {{ 'a' in d.keys() }} {{ ('a', 'x') in d.items() }}
{{ l.index(2) }} {{ l.count(1) }} {{ l.copy() }} {{ (1, 2, 1).count(1) }} {{ (1, 2).index(2) }}
{{ l.index(9) }}
{{ n.bit_length() }} {{ (5).real }} {{ f.is_integer() }} {{ (2.0).is_integer() }} {{ n.numerator }}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %} {% for k in d %}{{ k }};{% endfor %} {% for c in 'a🎈' %}{{ c }};{% endfor %}
`;

const filters = String.raw`
{{ s|upper }} {{ s|lower }} {{ 'hello wORLD-foo (bar) [x] {y} <z>'|title }} {{ 'hELLO'|capitalize }} {{ '  x '|trim }} {{ '--x-'|trim('-') }} {{ 5|string }} {{ none|string }} {{ 5|trim }} {{ missing|trim }}| {{ missing|upper }}|
{{ 'a b a'|replace('a', 'x') }} {{ 'a b a'|replace('a', 'x', 1) }} {{ 123|replace(2, 'x') }} {{ 'ab'|center(6) }}| {{ 'ab'|center }}| {{ s|wordcount }} {{ 'a\nb\n\nc'|indent }} {{ 'a\nb'|indent(2, true) }} {{ 'a\n\nb'|indent(2, blank=true) }} {{ 'a\nb'|indent('> ') }} {{ 'a\nb'|indent(width=3, first=true) }}
{{ 'foo bar baz qux'|truncate(9) }} {{ 'foo bar baz qux'|truncate(9, true) }} {{ 'foo bar baz qux'|truncate(11) }} {{ 'foo bar baz qux'|truncate(11, false, '...', 0) }} {{ 'abc'|truncate(3) }} {{ ('x' * 300)|truncate|length }}
{{ l|length }} {{ l|count }} {{ s|length }} {{ '🎈é'|length }} {{ d|length }} {{ range(5)|length }} {{ l|first }} {{ l|last }} {{ s|first }} {{ s|last }} {{ []|first }}| {{ []|last }}| {{ d|first }} {{ d|last }} {{ range(3)|last }}
{{ l|join }} {{ l|join(', ') }} {{ nested|join('+', attribute='name') }} {{ s|join('.') }} {{ [none, 1.0, true]|join(' ') }} {{ d|join('/') }} {{ l|join(d=':') }}
{{ l|sort }} {{ l|sort(reverse=true) }} {{ words|sort }} {{ words|sort(case_sensitive=true) }} {{ nested|sort(attribute='age')|map(attribute='name')|join(',') }} {{ nested|sort(attribute='age,name')|map(attribute='name')|join(',') }} {{ nested|sort(true, false, 'name')|map(attribute='name')|list }} {{ s|sort|join }} {{ d|dictsort }} {{ {'B': 1, 'a': 2}|dictsort }} {{ {'B': 1, 'a': 2}|dictsort(true) }} {{ {'b': 1, 'a': 2}|dictsort(by='value', reverse=true) }}
{{ words|unique|list }} {{ words|unique(true)|list }} {{ nested|unique(attribute='age')|map(attribute='name')|list }} {{ [1, 1.0, true, 2]|unique|list }} {{ l|min }} {{ l|max }} {{ words|min }} {{ words|max }} {{ nested|max(attribute='age') }} {{ []|max }}| {{ nested|min(attribute='name') }}
{{ l|sum }} {{ nested|sum(attribute='age') }} {{ l|sum(start=10) }} {{ [[1], [2]]|sum(start=[]) }} {{ []|sum }} {{ [0.1, 0.2]|sum }}
{{ l|map('string')|list }} {{ nested|map(attribute='name')|list }} {{ nested|map(attribute='tags')|list }} {{ nested|map(attribute='tags', default='none')|list }} {{ nested|map(attribute='tags.0')|list }} {{ words|map('upper')|join('-') }} {{ words|map('replace', 'p', 'P')|list }} {{ nested|map('attr', 'x')|list }} {{ l|map('default', 5)|list }} {{ missing|map('upper')|list }} {{ nested|map('length')|list }}
{{ l|select|list }} {{ l|select('odd')|list }} {{ l|select('>', 1)|list }} {{ l|reject('odd')|list }} {{ [0, '', none, 1]|select|list }} {{ [0, '', none, 1]|reject|list }} {{ nested|selectattr('tags')|map(attribute='name')|list }} {{ nested|selectattr('tags', 'undefined')|map(attribute='name')|list }} {{ nested|selectattr('age', 'equalto', 30)|list|length }} {{ nested|selectattr('age', '==', 25)|first }} {{ nested|rejectattr('tags', 'defined')|list|length }} {{ nested|rejectattr('tags')|map(attribute='name')|join(',') }} {{ nested|selectattr('name', 'in', ['ann'])|list|length }} {{ words|select('in', ['fig'])|list }}
{{ nested|groupby('age') }} {% for age, people in nested|groupby('age') %}{{ age }}:{{ people|map(attribute='name')|join('+') }};{% endfor %} {% for g in nested|groupby('name') %}{{ g.grouper }}={{ g.list|length }}{% endfor %} {{ nested|groupby('tags', default=[])|length }} {{ words|groupby(0) }} {{ [{'k': 'A'}, {'k': 'a'}]|groupby('k') }} {{ [{'k': 'A'}, {'k': 'a'}]|groupby('k', case_sensitive=true)|length }}
{{ l|batch(2)|list }} {{ l|batch(2, 'x')|list }} {{ [1, 2, 3, 4, 5, 6, 7]|slice(3)|list }} {{ [1, 2, 3, 4]|slice(3, '-')|list }} {{ s|reverse }} {{ l|reverse|list }} {{ (1, 2)|reverse|list }} {{ d|reverse|list }} {{ d|items|list }} {{ missing|items|list }} {{ l|list }} {{ s|list }} {{ d|list }}
{{ d|attr('get') is callable }} {{ d|attr('a') }}| {{ n|attr('real') }} {{ missing|default }}| {{ ''|default('x') }} {{ ''|default('x', true) }} {{ none|default('x') }} {{ none|d('x', boolean=true) }} {{ 0|default(1, true) }}
{{ '42'|int }} {{ '4.7'|int }} {{ 'x'|int }} {{ 'x'|int(5) }} {{ '0x1f'|int(base=16) }} {{ 'ff'|int(0, 16) }} {{ 3.99|int }} {{ -3.99|int }} {{ true|int }} {{ none|int }} {{ [1]|int }} {{ ' 12 '|int }} {{ '1_000'|int }} {{ '-5'|int }} {{ '1e3'|int }} {{ '12345678901234567890'|int }} {{ '0b11'|int(base=2) }} {{ '0b11'|int(base=0) }} {{ ''|int }} {{ 'inf'|int(9) }}
{{ '4.7'|float }} {{ 'x'|float }} {{ 'x'|float(2) }} {{ 5|float }} {{ '1e3'|float }} {{ 'nan'|float }} {{ 'inf'|float }} {{ true|float }} {{ none|float }} {{ ' 2 '|float }} {{ '.5'|float }} {{ '1_0.5'|float }} {{ '1.'|float }}
{{ 2.5|round }} {{ 3.5|round }} {{ 2.675|round(2) }} {{ 0.125|round(2) }} {{ 7|round }} {{ 1234|round(-2) }} {{ 1250|round(-2) }} {{ 1350|round(-2) }} {{ 1.15|round(1) }} {{ 2.1|round(method='ceil') }} {{ 2.9|round(0, 'floor') }} {{ 2.123|round(2, 'ceil') }} {{ -2.5|round }} {{ 1234.5|round(-2) }} {{ 5|round(1, 'ceil') }} {{ -7|abs }} {{ -2.5|abs }} {{ true|abs }}
{{ 1|filesizeformat }} {{ 999|filesizeformat }} {{ 1000|filesizeformat }} {{ 123456789|filesizeformat }} {{ 1024|filesizeformat(true) }} {{ 1e30|filesizeformat }}
{{ '<a href="x">&\'</a>'|e }} {{ '<b>'|escape }} {{ '<b>'|safe }} {{ '<b>'|e|e }} {{ '<b>'|e|forceescape }} {{ '<x>' + ('<b>'|e) }} {{ ('<b>'|e) + '<x>' }} {{ ('<b>'|safe) ~ '<x>' }} {{ ['<b>'|e] }} {{ ('<b>'|e)|length }} {{ ('<b>'|e).upper() }} {{ ('%s'|safe) % '<b>' }} {{ ('{}'|safe).format('<b>') }} {{ ('a'|e) == 'a' }} {{ ('<'|e) * 2 }} {{ ('<'|e)|tojson }} {{ ('a b'|e).split() }} {{ (','|safe).join(['<', '<'|safe]) }} {{ ('a<'|safe).replace('a', '<') }} {{ ('<b>'|e)[0:2] }} {{ '<p>a  <b>c</b>\n</p> &amp; <!-- x -->'|striptags }} {{ 5|e }} {{ none|e }} {{ ('x'|e) is escaped }} {{ 'x' is escaped }}
{{ 'a b/c?é&=~'|urlencode }} {{ {'a': 1, 'b c': 'd&e'}|urlencode }} {{ [('x', 'y z')]|urlencode }} {{ {'class': 'a', 'id': none, 'x': '<'}|xmlattr }} {{ {'a': 1}|xmlattr(false) }} {{ '%s-%d'|format('a', 3) }} {{ '%(x)s'|format(x=1) }} {{ [1, {'a': 2}]|pprint }}
{{ d|tojson }} {{ nested|tojson }} {{ odd|tojson }} {{ [1, 1.0, 1e-7, 1e16, none, true, 'é🎈\u2028<>&\'"\\/\x07\x7f']|tojson }} {{ 'é🎈'|tojson(ensure_ascii=true) }} {{ (1, 2)|tojson }} {{ {1: 'a', none: 2, true: 3, 1.5: 4}|tojson }} {{ []|tojson }} {{ {}|tojson }} {{ big|tojson }} {{ ('nan'|float)|tojson }} {{ ('-inf'|float)|tojson }}
{{ d|tojson(indent=2) }} {{ nested|tojson(indent=4) }} {{ [[], {}, [1]]|tojson(indent=1) }} {{ d|tojson(indent='--') }} {{ d|tojson(separators=(',', ':')) }} {{ d|tojson(indent=2, separators=(',', ': ')) }} {{ {'b': 1, 'a': {'d': 1, 'c': 2}}|tojson(sort_keys=true) }} {{ d|tojson(indent=0) }} {{ d|tojson(indent=none) }} {{ d|tojson(false, 1) }}
{{ range(3)|tojson }}
{{ {(1, 2): 3}|tojson }}
{{ namespace()|tojson }}
{{ l|map('nothing')|list }}
{{ l|select('nothing')|list }}
{{ l|map|list }}
{{ nested|selectattr|list }}
{{ 5|length }}
{{ 5|list }}
{{ 5|join }}
{{ 5|first }}
{{ [1, 'a']|sort }}
{{ [1, 'a']|max }}
{{ ['a']|sum }}
{{ 5|reverse }}
{{ 5|items|list }}
{{ 'x'|round }}
{{ 'x'|abs }}
{{ 1|round(1, 'up') }}
{{ l|join(1, 2, 3) }}
{{ s|upper(1) }}
{{ s|trim(nothing=1) }}
{{ s|replace('a') }}
{{ l|map('upper')|length }}
{{ l|batch }}
{{ (l|map('string'))[0] }}| {{ l|map('string') is iterable }} {{ l|map('string') is sequence }}{% set g = l|map('string') %}{% for x in g %}{{ x }}{% break %}{% endfor %}{% for x in g %}{{ x }}{% endfor %}{% if g %}true{% endif %}
`;

const tests = `
{{ n is defined }} {{ nil is defined }} {{ missing is undefined }} {{ nil is none }} {{ n is not none }} {{ d is mapping }} {{ l is mapping }} {{ l is sequence }} {{ s is sequence }} {{ d is sequence }} {{ n is sequence }} {{ range(2) is sequence }} {{ (1,) is sequence }} {{ missing is sequence }} {{ d.items() is sequence }}
{{ l is iterable }} {{ s is iterable }} {{ d is iterable }} {{ n is iterable }} {{ missing is iterable }} {{ nil is iterable }} {{ s is string }} {{ n is string }} {{ n is number }} {{ f is number }} {{ yes is number }} {{ s is number }} {{ n is integer }} {{ yes is integer }} {{ f is integer }} {{ f is float }} {{ n is float }} {{ 1.0 is float }} {{ 1.0 is integer }} {{ yes is boolean }} {{ n is boolean }} {{ yes is true }} {{ 1 is true }} {{ no is false }} {{ 0 is false }}
{{ n is odd }} {{ n is even }} {{ n is divisibleby 7 }} {{ n is divisibleby(3) }} {{ 2.0 is even }} {{ n is eq 7 }} {{ n is equalto 7.0 }} {{ n is ne 3 }} {{ n is lt 8 }} {{ n is le 7 }} {{ n is gt 7 }} {{ n is ge 7 }} {{ n is greaterthan(2) }} {{ n is lessthan 2 }} {{ n is sameas 7 }} {{ true is sameas 1 }} {{ none is sameas none }} {{ 'ab' is lower }} {{ 'AB' is upper }} {{ 'x' is in 'xyz' }} {{ 2 is in l }} {{ 9 is not in l }} {{ range is callable }} {{ s is callable }} {{ 'upper' is filter }} {{ 'nothing' is filter }} {{ 'odd' is test }} {{ 'nothing' is test }}
{{ n is not odd }} {{ not n is odd }} {{ n is odd and f is float }} {{ n is divisibleby 7 or no }} {{ n is defined and not missing is defined }} {{ 'a' if n is odd else 'b' }} {{ (n is odd) is boolean }} {{ [n is odd, n is even] }} {{ n + 1 is even }} {{ n|string is string }} {{ n is in [7] + [8] }} {{ 1 is eq 1 == true }} {{ n is divisibleby d.b }}
{{ n is odd is true }}
{{ s is odd }}
{{ n is divisibleby 0 }}
{{ n is divisibleby }}
{{ n is in }}
{{ 1 is in 5 }}
`;

const statements = `
{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }}{{ loop.cycle('a', 'b') }}{{ loop.previtem }}{{ loop.nextitem }};{% endfor %}
{% for x in [1, 1, 2] %}{{ loop.changed(x) }}{% endfor %} {% for x in l %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }}{% endfor %} {% for x in l %}{{ loop }}{{ loop|length }}{% endfor %}
{% for x in [] %}{{ x }}{% else %}none{% endfor %} {% for x in l if x > 5 %}{{ x }}{% else %}none{% endfor %} {% for x in l if x > 1 %}{{ x }}{{ loop.index }}/{{ loop.length }}{{ loop.last }};{% endfor %} {% for x in l %}{% break %}{% else %}none{% endfor %}|
{% for x in range(9) %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 5 %}{% break %}{% endif %}{{ x }}{% endfor %} {% for x in range(3) %}{% for y in range(3) %}{% if y == 1 %}{% break %}{% endif %}{{ x }}{{ y }} {% endfor %}{% endfor %}
{% for a, b in [(1, 2), (3, 4)] %}{{ a }}{{ b }};{% endfor %} {% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %} {% for (k, v) in d.items() %}{{ k }}{% endfor %} {% for x in 1, 2 %}{{ x }}{% endfor %} {% for i in range(5, 0, -2) %}{{ i }}{% endfor %}
{% for x in nested recursive %}{{ x.name }}{% if x.tags %}({{ loop(nested[1:2]) }}{{ loop.depth }}){% endif %}{% endfor %}
{% set x = 1 %}{% for i in l %}{{ x }}{% set x = x + i %}{{ x }};{% endfor %}{{ x }} {% set ns = namespace(x=1) %}{% for i in l %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }} {{ ns.y }}| {{ ns['x'] }} {{ ns }}
{% set a, b = 1, 2 %}{{ a }}{{ b }} {% set (a, b) = [3, 4] %}{{ a }}{{ b }} {% set x = 1, 2 %}{{ x }} {% set t %}a{{ n }}b{% endset %}{{ t }}{{ t is string }} {% set t | upper | trim %} ab {% endset %}{{ t }} {% set ns = namespace() %}{% set ns.z %}q{% endset %}{{ ns.z }}
{% if no %}{% set later = 1 %}{% endif %}{{ later is defined }} {% if yes %}{% set later = 1 %}{% endif %}{{ later }} {% if n > 5 and n < 10 %}a{% elif n %}b{% else %}c{% endif %} {% if '' %}a{% elif [] %}b{% elif {} %}c{% elif 0.0 %}d{% elif none %}e{% else %}f{% endif %}
{% for x in l %}{% if loop.first %}{% set seen = x %}{% endif %}{{ seen is defined }}{% endfor %} {% for x in l %}{% set s = 'in' %}{% endfor %}{{ s }} {% with a = 1, b = n %}{{ a + b }}{% set c = 3 %}{% endwith %}{{ c is defined }}{{ a is defined }} {% with %}{% set q = 1 %}{{ q }}{% endwith %} {% with n = 1, m = n %}{{ m }}{% endwith %}
{% macro m(a, b=2, c='x') %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(1, c='y') }} {{ m(a=5) }} {{ m() }} {{ m(*[1, 2], **{'c': 3}) }} {% macro v() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ v(1, 2, x=3) }} {{ v() }} {% macro p(a, b=a) %}{{ b }}{% endmacro %}{{ p(4) }} {{ m(1)|upper }} {{ m(1) is string }} {% macro none_given(a=1) %}{{ a }}{% endmacro %}{{ none_given(none) }}
{% macro wrap(t) %}<{{ t }}>{{ caller() }}</{{ t }}>{% endmacro %}{% call wrap('b') %}x{{ n }}{% endcall %} {% macro each(xs) %}{% for x in xs %}{{ caller(x, loop.index) }}{% endfor %}{% endmacro %}{% call(x, i) each(l) %}{{ i }}:{{ x }};{% endcall %} {% macro c2() %}{{ caller is defined }}{% endmacro %}{{ c2() }}
{% macro fact(k) %}{% if k < 2 %}1{% else %}{{ k * fact(k - 1)|int }}{% endif %}{% endmacro %}{{ fact(10) }} {% macro outer() %}{{ later_set }}{% endmacro %}{% set later_set = 'late' %}{{ outer() }} {% for x in l %}{% macro inner() %}{{ x }}{{ loop.index }}{% endmacro %}{{ inner() }}{% endfor %}
{% set x = 'out' %}{% macro sets() %}{% set x = 'in' %}{{ x }}{% endmacro %}{{ sets() }}{{ x }} {% set y %}{% set x = 'block' %}{{ x }}{% endset %}{{ y }}{{ x }} {% filter upper %}a{{ s }}{% set x = 'f' %}{% endfilter %}{{ x }} {% filter replace('a', 'b')|upper %}aaa{% endfilter %}
{% generation %}a{% set x = 1 %}{{ n }}{% endgeneration %}{{ x is defined }} {% for q in l %}{% generation %}{{ q }}{{ loop.index }}{% endgeneration %}{% endfor %} {% print 1, 'a' %} {% print s %}
{% raw %}{{ x }} {% if %} {# c #}{% endraw %} {%- raw -%} {{ y }} {%- endraw -%} z {# comment {{ x }} #}a{#- c -#} b
{{ range(3) }} {{ range(1, 5)|list }} {{ range(0)|list }} {{ range(5, 1, -1)|list }} {% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.next() }}{% set r = c.reset() %}{{ c.current }} {% set j = joiner('; ') %}{{ j() }}a{{ j() }}b{{ j() }} {{ strftime_now('%Y-%m-%d %H:%M:%S %a %A %b %B %p %I %j %y %% %-d %e %F %T %D %f %w %u %U %W %V %G %C %h %n %t %R %Z%z|') }}
{{ raise_exception('no') }}
{% for x in l %}{{ loop() }}{% endfor %}
{% for x in 5 %}{% endfor %}
{% for a, b in [(1, 2, 3)] %}{% endfor %}
{% for a, b in [1] %}{% endfor %}
{% set a, b = 1 %}
{% set q.x = 1 %}
{% set d.x = 1 %}
{% set ns = namespace() %}{% set ns._x = 1 %}
{{ namespace(_x=1) }}
{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{% endmacro %}{{ m(b=1) }}
{% macro m(a) %}{% endmacro %}{{ m(1, a=1) }}
{% macro m() %}{% endmacro %}{% call m() %}{% endcall %}
{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}
{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}
{% for x in l if loop.first %}{% endfor %}
{{ range(100001) }}
{{ range(1, 2, 0) }}
{{ range() }}
{{ range('x') }}
{{ dict(1) }}
{{ dict([1]) }}
{% for x in l %}{% generation %}{% break %}{% endgeneration %}{% endfor %}
{% if yes: %}a{% endif %}
{% for x in l: %}{{ x }}{% endfor %}
{% set x = 1 if no %}{{ x is defined }} {% set x = 1 if yes else 2 %}{{ x }}
{% macro messages(x) %}{{ x }}{% endmacro %}{{ messages(1) }}{% set messages = messages %}
{% set loop = 1 %}{{ loop }}
{%set x=1%}{{x}}{%-if x-%} y {%-endif-%}
{{ (1, 2, 3) | first }} {{ [1, 2] | last | string ~ 'x' }} {{ 'a' 'b' | upper }} {{ 'a' ~ 'b' | upper }} {{ 1 + 2 | string | length }} {{ - 1 | abs }} {{ 2 * 3 | float }} {{ not no | string }}
{{ f(1) }}
{{ ('a', 'b').0 }} {{ d.a.upper() }} {{ (l|first).real }} {{ [1, 2, 3][1:][0] }} {{ 'x'.join(['a', 'b']).upper()[0] }} {{ {'f': {'g': [1, {'h': 'deep'}]}}.f.g[1].h }}
`;

const spaces = [
  "a\n{% if yes %}\nb\n{% endif %}\nc\n",
  "a\n  {% if yes %}  \n  b\n  {% endif %}  \nc\n\n",
  "a  {%- if yes %}  b  {%- endif %}  c",
  "a  {% if yes -%}  b  {% endif -%}  c",
  "  {%+ if yes %}b{%+ endif %}\n  {% if yes +%}\nc{% endif +%}\nd",
  "x\n  {{ n }}  \n  {{- n -}}  \n y {{- n }}\n{{ n -}}\n\n z",
  "a\n  {# c #}\nb{# d #}\n{#- e -#}\nf  {#+ g +#}\n h",
  "a\r\nb\rc\n{% if yes %}\r\nd\r\n{% endif %}\r\n",
  "{% raw %}\n a {{ x }}\n{% endraw %}\n b",
  "  {% raw -%}  \n a {{ x }}\n  {%- endraw %}\n b",
  "a\n\t {% raw %} {% endraw -%} \n b",
  "{% for x in l %}\n  {{ x }}\n{% endfor %}\n",
  "{% for x in l -%}\n  {{ x }}\n{%- endfor %}\n",
  "\n\n{% set x = 1 %}\n\n{{ x }}\n\n",
  "a {% set x = 1 %} b\n   {% set x = 1 %}   {% set y = 2 %}\nc",
  "{{ 'a\r\nb\n' }}|{{ '\n' }}|",
  "{{\n n\n}}{%\n set x = 1\n%}{{ x }}",
  "{{ n }}{# a\nb #}{{ n }}\n",
  "{{ '}}' }}{{ '%}' }}{{ {'a': {'b': 1}} }}{{ {'a': {'b': 1}}.a.b}}",
  "{{ '{{' }} {{ '{%' }} } }} %} #} { {",
  "\u00a0{% if yes %}\u2003x{%- endif %}\u00a0\n",
  "a\n\u00a0{% if yes %}x{% endif %}",
  "{{ 1 -}} \u200b \n{{- 2 }}",
  "{% if yes %}{% endif %}\n\n{% if yes %}\n\n{% endif %}",
  "{#-#} a {#--#} b {#+#}\n c",
  "{%- macro m() -%}\n  x\n{%- endmacro -%}\n[{{ m() }}]",
  "",
  "\n",
  "\n\n",
  "text only",
  "{{ [\n1,\n2] }}\n",
  "{%   if   yes   %}a{%endif%}",
];

/** Every template with what it is about: one line each. */
export const CONSTRUCTS: readonly string[] = [
  ...[literals, methods, filters, tests, statements].flatMap((text) => text.trim().split("\n")),
  ...spaces,
];
