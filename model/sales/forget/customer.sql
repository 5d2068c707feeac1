-- model/sales/forget/customer: erases a customer; $1 is the customer_id.
-- docs/how-to/personal-data.md describes the format.
--
-- The row stays and loses everything that identifies the person, so that orders still count. The
-- law requires the accounts to be kept (GDPR article 17(3)(b)), and customer_id alone identifies
-- nobody. Visits are no accounts; they lose the customer.

-- The values that must be gone afterwards. A customer who was erased before has none.
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
