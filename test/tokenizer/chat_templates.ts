/** Templates of our own, with the habits of those that chat models come with. */

export const CHATML = `{% for message in messages %}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{%- endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\\n' }}
{%- endif %}
`;
export const LLAMA2 = `{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}
{%- for message in loop_messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
    {%- endif %}
    {%- if loop.index0 == 0 and system_message != false %}
        {%- set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}
    {%- else %}
        {%- set content = message['content'] %}
    {%- endif %}
    {%- if message['role'] == 'user' %}
        {{- bos_token + '[INST] ' + content.strip() + ' [/INST]' }}
    {%- elif message['role'] == 'assistant' %}
        {{- ' ' + content.strip() + ' ' + eos_token }}
    {%- endif %}
{%- endfor %}`;
export const LLAMA3 = `{{- bos_token }}
{%- if not date_string is defined %}{% set date_string = strftime_now("%d %b %Y") %}{% endif %}
{%- if messages[0].role == 'system' %}{% set system = messages[0].content | trim %}{% set messages = messages[1:] %}{% else %}{% set system = "" %}{% endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- if tools is not none %}
{%- for t in tools %}{{ t | tojson(indent=4) }}{{ "\\n\\n" }}{% endfor %}
{%- endif %}
{{- system }}{{ "<|eot_id|>" }}
{%- for message in messages %}
{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}`;

const TOOLS = `{{- bos_token }}{% macro call(c) %}{{ {"name": c.function.name, "arguments": c.function.arguments} | tojson }}{% endmacro %}
{%- if tools %}<tools>{% for t in tools %}{{ t | tojson }}{{ "\\n" }}{% endfor %}</tools>{{ tools | length }}
{% endif %}
{%- for d in documents or [] %}<doc {{ loop.index }}>{{ d.title }}: {{ d["text"] }}</doc>{% endfor %}
{%- for m in messages %}
<{{ m.role }}{% if m.name is defined %} {{ m.name }}{% endif %}>
{%- if m.reasoning_content is string %}<think>{{ m.reasoning_content }}</think>{% endif %}
{%- if m.content is string %}{{ m.content }}{% elif m.content is iterable %}{% for p in m.content %}{{ p.text if p.type == "text" else "<" ~ p.type ~ ">" }}{% endfor %}{% endif %}
{%- for c in m.tool_calls or [] %}
<call {{ c.id }}>{{ call(c) }}</call>
{%- endfor %}</{{ m.role }}>
{%- endfor %}
{%- if add_generation_prompt %}
<assistant>{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}
{%- endif %}`;
/** All that there is, as Python prints it. */
const EVERYTHING = `{{ messages }}{{ tools }}{{ documents }}{{ add_generation_prompt }}{{ thinking }}{{ strftime_now("%d %b %Y") }}`;

export const TEMPLATES: Readonly<Record<string, string>> = { CHATML, LLAMA2, LLAMA3, TOOLS, EVERYTHING };
