SELECT id AS "public.people.id", name AS "public.people.name", town AS "public.people.town"
FROM public.people WHERE id = $1;
UPDATE public.people SET name = 'forgotten', town = 'nowhere' WHERE id = $1;
