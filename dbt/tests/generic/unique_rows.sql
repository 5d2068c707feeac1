{# No two rows agree in all of the columns; nulls count as values. #}
{% test unique_rows(model, columns) %}
SELECT {{ columns | join(', ') }}, count() AS rows_alike
FROM {{ model }}
GROUP BY {{ columns | join(', ') }}
HAVING rows_alike > 1
{% endtest %}
