-- model/sales/forget/customer: erases a customer; $1 is the customer_id.
-- May know: shop.customers, shop.user_traffic. The format is described in docs/how-to/personal-data.md.
--
-- The row stays, without anything that says who it was, so that orders keep counting: the books must be kept (GDPR article 17(3)(b)), and
-- customer_id alone leads to nobody. Visits are not books; they lose the customer.

-- What must be gone afterwards. Nothing is selected for a customer who has been forgotten already.
SELECT
  customer_id AS "shop.customers.customer_id",
  full_name AS "shop.customers.full_name",
  email AS "shop.customers.email",
  phone AS "shop.customers.phone",
  birth_date AS "shop.customers.birth_date",
  city AS "shop.customers.city"
FROM shop.customers
WHERE customer_id = $1 AND email <> 'forgotten@invalid'
FOR UPDATE;

UPDATE shop.customers
SET full_name = 'forgotten', email = 'forgotten@invalid', phone = NULL, birth_date = NULL, city = 'unknown',
  marketing_consent = false, created_at = date_trunc('month', created_at), updated_at = now()
WHERE customer_id = $1;

UPDATE shop.user_traffic SET customer_id = NULL WHERE customer_id = $1;
