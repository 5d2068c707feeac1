# One image for producer, consumer, generator and every other command; the command says which.
FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY . .
# The image talks to Postgres, Kafka and ClickHouse in other containers; the embedded ones are optional packages.
RUN npm run build && npm prune --omit=dev --omit=optional

FROM node:22-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY --from=build /app/model ./model
RUN install -d -o node -g node /var/lib/millrace
VOLUME /var/lib/millrace
USER node
ENTRYPOINT ["node", "dist/cli/main.js"]
CMD ["--help"]
